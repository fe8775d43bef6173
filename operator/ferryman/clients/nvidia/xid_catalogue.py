"""XID errors by what they ask for, as NVIDIA's catalogue has them (its immediate action).

Source: NVIDIA's "Analyzing Xid Errors with the Xid Catalog", which covers Ampere and newer GPUs:
https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html. Where the catalogue has a
procedure instead of an action (45, 48, 74, 144 to 150, 154), the numbers that NVML's events carry
do not suffice to follow it: what can be done is said, and what may be ill is out of use.
"""

from collections.abc import Mapping
from typing import Final

#: Errors of the program that ran there, which it alone must be started anew for (RESTART_APP).
OF_APPLICATIONS: Final = frozenset(
    {
        *(8, 11, 13, 25, 31, 32, 60, 68, 69, 80),
        *(39, 40, 41, 70, 71, 72, 75, 76, 77, 85, *range(126, 136)),  # copy engines
        *(82, 83, 84, 86, 88, 89, *range(96, 106), 139),  # video and image engines
    }
)
#: What goes by without anything to do (IGNORE), what only accompanies another XID (45, 171, 172),
#: and what has no action there (162 to 166, 170).
HARMLESS: Final = frozenset(
    {
        *(14, 37, 38, 43, 44, 45, 63, 66, 67, 93, 106, 107, 108, 121, 137, 141, 147, 148),
        *(152, 153, 160, 162, 163, 164, 165, 166, 170, 171, 172),
    }
)

_RESET: Final = "drain the node and reset the GPU"
_RESTART: Final = "drain the node and restart it"
_LOG: Final = "see the node's kernel log for what the driver recommends"
#: What takes nothing out of use, and should be known: what happened, and what to do.
NOTED: Final[Mapping[int, tuple[str, str]]] = {
    54: ("its auxiliary power is missing", "see to the GPU's power cables"),
    78: ("a virtual GPU did not start", "update the driver of host and guest"),
    92: ("many corrected memory errors", "see whether they go on, then ask its maker"),
    94: ("a contained memory error", "restart the application that ran there"),
    142: ("an error of its video encoder", "ask its maker if it comes again"),
    154: ("another recovery is recommended than before", _LOG),
    157: ("no spare part of it is left to stand in for a broken one", "ask its maker"),
    159: ("an error between CPU and GPU", _LOG),
    161: ("a memory channel could not be retired", "ask its maker"),
    168: ("less of its memory can be used", "ask its maker"),
}
#: What takes the GPU out of use.
_CRITICAL: Final[Mapping[int, tuple[str, str]]] = {
    46: ("it stopped processing", _RESET),
    48: ("a double-bit memory error", _RESET),
    62: ("its power controller halted", _RESET),
    64: ("remapping memory failed", _RESET),
    74: ("an NVLink error", _RESET),
    79: ("it has fallen off the bus", _RESTART),
    95: ("an uncontained memory error", _RESET),
    109: ("a context switch took too long", _RESET),
    110: ("a security fault", _RESET),
    119: ("its system processor does not answer", _RESET),
    120: ("its system processor failed", _RESET),
    136: ("a link could not be trained", _RESET),
    140: ("an unrecovered memory error", _RESET),
    143: ("it could not be initialised", _RESET),
    144: ("an NVLink error", _RESET),
    145: ("an NVLink error", _RESET),
    146: ("an NVLink error", _RESET),
    149: ("an NVLink error", _RESET),
    150: ("an NVLink error", _RESET),
    151: ("its keys could not be changed", "restart the virtual machine"),
    155: ("an NVLink is down", _RESET),
    156: ("a broken part was retired", _RESET),
    158: ("a fatal timeout", _RESET),
    167: ("a fatal timeout of PCIe", _RESTART),
    169: ("its security processor halted", _RESET),
}
_UNKNOWN: Final = ("a critical error", _RESET)


def reason(xid: int) -> str:
    """Return what an XID says of its GPU, and what to do."""
    if xid in OF_APPLICATIONS:
        return f"reported XID {xid} (an error of the application): restart the application"
    if xid in HARMLESS:
        return f"reported XID {xid}: there is nothing to do"
    if xid in NOTED:
        what, remedy = NOTED[xid]
        return f"reported XID {xid} ({what}): {remedy}"
    what, remedy = _CRITICAL.get(xid, _UNKNOWN)
    return f"reported XID {xid} ({what}): {remedy}, then restart the agent's pod"
