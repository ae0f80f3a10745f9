"""Every setting of a run: one frozen, flat `Config`, from which the flags are made."""

from fedsafe_tff.runs.config.config import GROUPS, Config

__all__ = ["Config", "GROUPS"]
