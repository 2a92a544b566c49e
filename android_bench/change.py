"""What a session changed on a device, for the record."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """One setting of the phone. before: as it was read, None where it cannot be read. outcome: `kept` (it was as
    wanted), `changed`, `refused`, `restored`, or `not restored`. detail: the phone's own words, where it refused."""

    setting: str
    before: str | None
    wanted: str
    outcome: str
    detail: str = ""
