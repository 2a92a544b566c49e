"""What every section of a configuration has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Unknown keys are typing mistakes: refused, not ignored. So are other types, and inf and nan, which TOML can say.
    A list of TOML is no tuple: a field that is one says Field(strict=False), of itself and not of what it holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
