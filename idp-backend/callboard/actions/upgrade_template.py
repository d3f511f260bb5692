from callboard.actions.action import Action, Facts, Options, choose
from callboard.domain.agent import Agent, Version
from callboard.domain.errors import Finding
from callboard.domain.findings import refusal


class UpgradeTemplate(Action):
    """Build the agent by a newer template, with the images that this installation has now.

    Nothing else ever changes either: every other action keeps what is pinned.
    """

    title = "Upgrade template"

    version: Version | None = choose(
        Options.TEMPLATES,
        default=None,
        title="Version",
        description="The template's version; the newest without.",
    )

    @classmethod
    def unavailable(cls, agent: Agent, facts: Facts) -> str | None:
        if not facts.templates:
            return "this release has no template to build it by"
        newest = facts.templates[-1]
        if agent.spec.template_version == newest and agent.spec.images == facts.site.images:
            return f"it is built by the newest template, {newest}, with the present images"
        return None

    def apply(self, agent: Agent, facts: Facts) -> Agent:
        spec, wanted = agent.spec, self.version or facts.templates[-1]
        if wanted not in facts.templates:
            offered = ", ".join(facts.templates)
            raise refusal(
                Finding("/version", f"is not in this release, which has {offered}", "unknown")
            )
        if _order(wanted) < _order(spec.template_version):
            raise refusal(Finding("/version", f"is older than {spec.template_version}", "older"))
        if wanted == spec.template_version and spec.images == facts.site.images:
            raise refusal(
                Finding("/version", f"is {wanted} with the present images already", "unchanged")
            )
        return agent.but(template_version=wanted, images=facts.site.images)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
