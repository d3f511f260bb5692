"""How often something may be done: a token bucket."""

from dataclasses import dataclass


@dataclass(slots=True)
class Allowance:
    """`burst` at once, then one every `every` seconds: at most `burst + t / every` in t seconds."""

    burst: int
    every: float
    _spent: float = 0
    _at: float = 0

    def take(self, now: float) -> bool:
        """Whether it may be done now; if so, it counts."""
        self._spent = max(0.0, self._spent - max(0.0, now - self._at) / self.every)
        self._at = now
        if self._spent + 1 > self.burst:
            return False
        self._spent += 1
        return True

    def wait(self, now: float) -> float:
        """Seconds until `take` will say yes."""
        left = max(0.0, self._spent - max(0.0, now - self._at) / self.every)
        return max(0.0, (left + 1 - self.burst) * self.every)
