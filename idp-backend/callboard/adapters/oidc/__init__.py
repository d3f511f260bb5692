"""Access tokens of an OpenID Connect issuer; one verifier for Keycloak and the embedded issuer."""
