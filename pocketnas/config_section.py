"""What every section of a configuration has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Unknown keys are typing mistakes: refused, not ignored. So are inf and nan, which TOML can say."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
