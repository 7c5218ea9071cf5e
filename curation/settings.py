"""The base of every typed setting: unknown keys are errors, values are frozen and have a name."""

from pydantic import BaseModel, ConfigDict

from curation.files import fingerprint


class Settings(BaseModel):
    """Settings of one stage. Field descriptions are its `--help`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def fingerprint(self) -> str:
        """12 hex characters naming these settings; any changed field changes them."""
        return fingerprint(self.model_dump(mode="json"))
