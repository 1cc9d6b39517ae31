"""What a server consists of. One process may have all roles, or each has its own, on as many machines as you like."""

from __future__ import annotations

from typing import Final, Literal, get_args

Role = Literal["engine", "projections", "effects", "web"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
