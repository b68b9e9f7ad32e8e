"""All settings of a worker and of the command line, in one frozen value.

In: environment variables `PLANTWEAVE_<FIELD>` and, optionally, a TOML file with the fields as keys (its path is an
argument or PLANTWEAVE_CONFIG); the environment wins. Out: `Settings`, or one `SettingsError` that lists every fault.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from streams import limits

PREFIX: Final = "PLANTWEAVE_"
# Read elsewhere: the file's own path, and the folder of the embedded broker's downloads.
NOT_FIELDS: Final = frozenset({"PLANTWEAVE_CONFIG", "PLANTWEAVE_CACHE"})
MIB: Final = 1 << 20

# What is wrong with a value and what to do about it; None for a good one.
Check = Callable[[Any], tuple[str, str] | None]


class Fault(NamedTuple):
    """One thing wrong with the configuration; the value of a secret or of an unknown name is not shown."""

    name: str
    value: str
    problem: str
    remedy: str


class SettingsError(ValueError):
    """The configuration is wrong; `faults` lists everything that is, and the message shows it, one fault per line."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        lines = [f"  {f.name} = {f.value}: {f.problem}. {f.remedy}." for f in faults]
        super().__init__("\n".join([f"{len(faults)} setting(s) to correct:", *lines]))


def _int(default: int, low: int, high: int) -> Any:
    def check(value: int) -> tuple[str, str] | None:
        return None if low <= value <= high else ("out of range", f"Give a whole number from {low} to {high}")

    return field(default=default, metadata={"check": check})


def _choice(default: str, *others: str) -> Any:
    choices = sorted({default, *others})

    def check(value: str) -> tuple[str, str] | None:
        return None if value in choices else ("not one of the choices", f"Give one of {', '.join(map(repr, choices))}")

    return field(default=default, metadata={"check": check})


def _text(
    default: str, pattern: str = r"[^\x00-\x1f]*", form: str = "one line of text", *, secret: bool = False
) -> Any:
    def check(value: str) -> tuple[str, str] | None:
        return None if re.fullmatch(pattern, value) else ("has the wrong form", f"Give {form}")

    return field(default=default, metadata={"check": check, "secret": secret}, repr=not secret)


def _path(kind: Callable[[Path], bool], what: str) -> Any:
    def check(value: str) -> tuple[str, str] | None:
        return (
            None if not value or kind(Path(value)) else ("does not exist", f"Give the path of {what}, or leave it out")
        )

    return field(default="", metadata={"check": check})


def _checked(default: str, check: Check) -> Any:
    return field(default=default, metadata={"check": check})


def _check_servers(value: str) -> tuple[str, str] | None:
    for server in value.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            return f"{server.strip()!r} is no HOST:PORT", "Give one or more HOST:PORT with commas between them"
    return None


def _check_url(value: str) -> tuple[str, str] | None:
    parts = urlsplit(value)
    if not value or (parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc):
        return None
    remedy = "Give http://HOST:PORT or https://HOST:PORT, with user name and password in settings of their own"
    return "is no plain web address", remedy


_KAFKA_NAME: Final = (r"[A-Za-z0-9._-]{0,100}", "at most 100 letters, digits, '.', '_' or '-'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting with its default. Durations are in the unit that the name ends in (`_ms`, `_s`), sizes in bytes.

    `worker_id` makes a worker a static member of its group: give each slot its own, the same after every restart. Empty
    means host name and process id, so that a restarted worker waits for its partitions until the old session ends.
    `http_port` 0 takes any free port, which the worker logs. `rules_dir` and `kpi_policy_file` empty mean what comes
    with the package. `site` and `tenant` are told with what has none of its own: records that could not be decoded.
    """

    bootstrap_servers: str = _checked("127.0.0.1:9092", _check_servers)
    topic_prefix: str = _text("", *_KAFKA_NAME)
    site: str = _text("site", r"[^\x00-\x1f]+", "the site's name, one line that is not empty")
    tenant: str = _text("")
    partitions: int = _int(6, 1, 256)
    replication_factor: int = _int(1, 1, 32)
    framing: str = _choice("single_object", "confluent")
    registry_url: str = _checked("", _check_url)
    registry_username: str = _text("", secret=True)
    registry_password: str = _text("", secret=True)
    commit_interval_ms: int = _int(100, 10, 60_000)
    session_timeout_ms: int = _int(10_000, 6_000, 300_000)
    transaction_timeout_ms: int = _int(10_000, 1_000, 900_000)
    fetch_max_bytes: int = _int(8 * MIB, MIB // 16, 256 * MIB)
    chunk_max_bytes: int = _int(32 * MIB, MIB // 16, 256 * MIB)
    snapshot_min_bytes: int = _int(MIB, 1024, 1024 * MIB)
    allowed_disorder_ms: int = _int(2_000, 0, 3_600_000)
    idle_after_ms: int = _int(10_000, 100, 86_400_000)
    allowed_disorder_by_source: str = _checked("", limits.check)
    idle_after_by_source: str = _checked("", limits.check)
    clock_skew_s: int = _int(60, 2, 86_400)
    clock_skew_readings: int = _int(20, 2, 200)
    clock_skew_span_s: int = _int(10, 1, 86_400)
    correction_horizon_s: int = _int(300, 0, 7 * 86_400)
    kpi_correction_horizon_s: int = _int(86_400, 0, 35 * 86_400)
    failover_after_ms: int = _int(10_000, 100, 86_400_000)
    failback_after_ms: int = _int(30_000, 0, 86_400_000)
    rules_dir: str = _path(Path.is_dir, "a folder")
    kpi_policy_file: str = _path(Path.is_file, "a KPI policy (TOML)")
    http_host: str = _text("127.0.0.1", r"[A-Za-z0-9.:_-]+", "an address or host name to listen on")
    http_port: int = _int(0, 0, 65_535)
    log_level: str = _choice("info", "debug", "warning", "error")
    log_format: str = _choice("json", "text")
    worker_id: str = _text("", *_KAFKA_NAME)
    security_protocol: str = _choice("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
    sasl_mechanism: str = _choice("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    sasl_username: str = _text("")
    sasl_password: str = _text("", secret=True)
    ssl_cafile: str = _path(Path.is_file, "a file with CA certificates (PEM)")
    liveness_timeout_s: int = _int(60, 5, 3_600)

    @classmethod
    def load(cls, env: Mapping[str, str], file: Path | None = None) -> Self:
        """The settings of an environment and a file. Raises SettingsError with every fault found in either."""
        faults: list[Fault] = []
        path = file or (Path(env["PLANTWEAVE_CONFIG"]) if env.get("PLANTWEAVE_CONFIG") else None)
        given = _read_file(path, faults) if path else {}
        named = {PREFIX + f.name.upper(): f.name for f in fields(cls)}
        for variable, text in env.items():
            if variable in named:
                given[named[variable]] = text.strip()
            elif variable.startswith(PREFIX) and variable not in NOT_FIELDS:
                faults.append(_unknown(variable, list(named)))
        values: dict[str, int | str] = {}
        for f in fields(cls):
            if f.name in given:
                fault = _take(f.name, given[f.name], f.type is int, f.metadata["check"], values)
                if fault:
                    # An '@' in an address stands behind a user name and a password.
                    hidden = f.metadata.get("secret") or "@" in str(given[f.name])
                    faults.append(Fault(f.name, "(not shown)" if hidden else repr(given[f.name]), *fault))
        settings = cls(**values)  # type: ignore[arg-type]  # checked field by field above
        faulty = {fault.name for fault in faults}
        faults += [f for f in _contradictions(settings, "security_protocol" not in faulty) if f.name not in faulty]
        if faults:
            raise SettingsError(faults)
        return settings


def _take(
    name: str, value: object, is_number: bool, check: Check, values: dict[str, int | str]
) -> tuple[str, str] | None:
    """Put a good value into `values`, typed; else tell what is wrong with it. The environment gives numbers as text."""
    if is_number:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            return "is no whole number", "Give digits only, without a unit"
    elif not isinstance(value, str):
        return "is no text", "Put it between quotes"
    fault = check(value)
    if fault is None:
        values[name] = value
    return fault


def _read_file(path: Path, faults: list[Fault]) -> dict[str, object]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        faults.append(
            Fault("PLANTWEAVE_CONFIG", str(path), error.strerror or str(error), "Give a file that can be read")
        )
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(
            Fault("PLANTWEAVE_CONFIG", str(path), f"is no TOML ({error})", "Write NAME = VALUE, one per line")
        )
        return {}
    known = [f.name for f in fields(Settings)]
    faults += [_unknown(key, known) for key in content if key not in known]
    return {key: value for key, value in content.items() if key in known}


def _unknown(name: str, known: list[str]) -> Fault:
    near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), [f.name for f in fields(Settings)], n=1)
    meant = next((k for k in known if near and k.removeprefix(PREFIX).lower() == near[0]), None)
    remedy = f"Remove it, or write {meant} if you meant that" if meant else "Remove it"
    return Fault(name, "(not shown)", "there is no such setting", remedy)


def _contradictions(s: Settings, protocol_known: bool) -> list[Fault]:
    """What is wrong although each value alone is good; `protocol_known`: whether security_protocol was a good value."""
    found = _security_contradictions(s) if protocol_known else []
    if s.framing == "confluent" and not s.registry_url:
        found.append(Fault("registry_url", "''", "the framing 'confluent' needs a schema registry", "Give its address"))
    if s.registry_password and not s.registry_username:
        found.append(Fault("registry_username", "''", "registry_password is given and this is not", "Give both"))
    if s.registry_username and not s.registry_url:
        remedy = "Give registry_url, or remove it"
        found.append(Fault("registry_username", "(not shown)", "there is no registry to send it to", remedy))
    if s.commit_interval_ms * 2 > s.transaction_timeout_ms:
        remedy = f"Give at least {s.commit_interval_ms * 2}, or a shorter commit_interval_ms"
        found.append(Fault("transaction_timeout_ms", str(s.transaction_timeout_ms), "would abort commits", remedy))
    return found


def _security_contradictions(s: Settings) -> list[Fault]:
    sasl, tls = s.security_protocol.startswith("SASL_"), s.security_protocol.endswith("SSL")
    found = []
    for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
        if bool(getattr(s, name)) != sasl:
            problem = f"the security protocol {s.security_protocol} {'needs' if sasl else 'does not use'} it"
            remedy = "Give it" if sasl else "Remove it, or set security_protocol to SASL_SSL"
            found.append(Fault(name, "''" if sasl else "(not shown)", problem, remedy))
    if s.ssl_cafile and not tls:
        problem = f"the security protocol {s.security_protocol} does not use it"
        found.append(Fault("ssl_cafile", repr(s.ssl_cafile), problem, "Remove it, or set security_protocol to SSL"))
    return found
