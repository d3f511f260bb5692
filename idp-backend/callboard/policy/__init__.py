"""Who may do what, which change needs a second person, and what no manifest may ever be."""
