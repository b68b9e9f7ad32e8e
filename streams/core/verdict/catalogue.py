"""Words that rules, work orders and changes share: kinds of evidence, and what people do to equipment.

The activities of maintenance follow ISO 14224:2016, table B.5 (replace, repair, modify, adjust, refit, check, service,
test, inspection, overhaul), named apart where evidence differs (clean, lubricate, calibrate); those of changes are what
a ticket permits. An order whose activity is another word matches none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PROCESS: Final = "process"
TELEMETRY: Final = "telemetry"
SECURITY: Final = "security"
PREDICTION: Final = "prediction"
DOMAINS: Final = (PROCESS, TELEMETRY, SECURITY, PREDICTION)
# Of any other kind of evidence (security, logons and flows, words to come) a work order alone explains nothing away.
EASED: Final = (PROCESS, TELEMETRY, PREDICTION)

ACTIVITIES: Final[Mapping[str, str]] = {
    "account": "accounts and rights are changed",
    "adjust": "brought back within its limits",
    "calibrate": "an instrument is compared and set",
    "check": "looked after without taking it apart",
    "clean": "cleaned, also in place with hot water or chemicals",
    "firmware": "the ticket permits another firmware",
    "inspect": "inspected, opened where necessary",
    "isolate": "taken off energy, locked out",
    "lubricate": "greased or oiled",
    "modify": "changed in design",
    "network": "switches, firewalls, cables, addresses",
    "overhaul": "taken apart and renewed",
    "program": "control program or recipe is changed",
    "refit": "minor repair that returns it to an acceptable look and state",
    "repair": "the fault is mended",
    "replace": "a part or the whole is exchanged",
    "restart": "switched off and on, or restarted",
    "service": "periodic service as the maker asks for",
    "setpoint": "setpoints and limits are changed",
    "test": "run or tripped to see whether it works",
    "update_firmware": "another firmware is installed",
}
