"""How a setting is declared: once, as a field of `Settings` with everything that is to be known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar, cast

from scitq.config.values import Kind, T_co, without_passwords

T = TypeVar("T")


class Hidden(Enum):
    """What of a value must not be shown."""

    NOTHING = "no"
    PASSWORD = "the password in it"  # noqa: S105
    ALL = "yes"


@dataclass(frozen=True, slots=True)
class Computed(Generic[T_co]):
    """A default that follows from the settings declared above it, and from the user's folders."""

    words: str
    of: Callable[[Mapping[str, Any], Mapping[str, str]], T_co]


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    kind: Kind[Any]
    default: str | Computed[Any] | None
    help: str
    hidden: Hidden = Hidden.NOTHING

    @property
    def flag(self) -> str:
        return "--" + self.name.removeprefix("SCITQ_").lower().replace("_", "-")

    def shown(self, value: object) -> str:
        """A value as people may see it."""
        if value is None:
            return ""
        if self.hidden is Hidden.ALL:
            return "***"
        parts = [str(part) for part in value] if isinstance(value, tuple) else [str(value)]
        return ",".join(map(without_passwords, parts) if self.hidden is Hidden.PASSWORD else parts)


def setting(
    name: str, kind: Kind[T], default: str | Computed[T] | None, help: str, hidden: Hidden = Hidden.NOTHING
) -> T:
    """A field of `Settings`; for a type checker it is of the type that its kind reads."""
    return cast(T, field(metadata={"setting": Setting(name, kind, default, help, hidden)}))
