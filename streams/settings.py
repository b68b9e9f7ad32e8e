"""All settings of a worker and of the command line, in one frozen value.

In: environment variables `PLANTWEAVE_<FIELD>` and, optionally, a TOML file with the fields as keys (its path is an
argument or PLANTWEAVE_CONFIG); the environment wins. Out: `Settings`, or one `SettingsError` that lists every fault.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

from streams import limits
from streams.settings_fields import (
    Check,
    Fault,
    SettingsError,
    check_servers,
    check_url,
    checked,
    choice,
    existing,
    line,
    number,
)

PREFIX: Final = "PLANTWEAVE_"
# Read elsewhere: the file's own path, and the folder of the embedded broker's downloads.
NOT_FIELDS: Final = frozenset({"PLANTWEAVE_CONFIG", "PLANTWEAVE_CACHE"})
MIB: Final = 1 << 20

_KAFKA_NAME: Final = (r"[A-Za-z0-9._-]{0,100}", "at most 100 letters, digits, '.', '_' or '-'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting with its default. Durations are in the unit that the name ends in (`_ms`, `_s`), sizes in bytes.

    `worker_id` makes a worker a static member of its group: give each slot its own, the same after every restart. Empty
    means host name and process id, so that a restarted worker waits for its partitions until the old session ends.
    `http_port` 0 takes any free port, which the worker logs. `rules_dir`, `kpi_policy_file`, `incident_links_file`
    and `incident_causes_file` empty mean what comes with the package. `site` and `tenant` are told with what has none
    of its own: records that could not be decoded.
    """

    bootstrap_servers: str = checked("127.0.0.1:9092", check_servers)
    topic_prefix: str = line("", *_KAFKA_NAME)
    site: str = line("site", r"[^\x00-\x1f]+", "the site's name, one line that is not empty")
    tenant: str = line("")
    partitions: int = number(6, 1, 256)
    replication_factor: int = number(1, 1, 32)
    framing: str = choice("single_object", "confluent")
    registry_url: str = checked("", check_url)
    registry_username: str = line("", secret=True)
    registry_password: str = line("", secret=True)
    commit_interval_ms: int = number(100, 10, 60_000)
    session_timeout_ms: int = number(10_000, 6_000, 300_000)
    transaction_timeout_ms: int = number(10_000, 1_000, 900_000)
    fetch_max_bytes: int = number(8 * MIB, MIB // 16, 256 * MIB)
    chunk_max_bytes: int = number(32 * MIB, MIB // 16, 256 * MIB)
    snapshot_min_bytes: int = number(MIB, 1024, 1024 * MIB)
    allowed_disorder_ms: int = number(2_000, 0, 3_600_000)
    idle_after_ms: int = number(10_000, 100, 86_400_000)
    allowed_disorder_by_source: str = checked("", limits.check)
    idle_after_by_source: str = checked("", limits.check)
    clock_skew_s: int = number(60, 2, 86_400)
    clock_skew_readings: int = number(20, 2, 200)
    clock_skew_span_s: int = number(10, 1, 86_400)
    correction_horizon_s: int = number(86_400, 0, 7 * 86_400)
    correction_memory_s: int = number(300, 10, 86_400)
    kpi_correction_horizon_s: int = number(86_400, 0, 35 * 86_400)
    failover_after_ms: int = number(10_000, 100, 86_400_000)
    failback_after_ms: int = number(30_000, 0, 86_400_000)
    rules_dir: str = existing(Path.is_dir, "a folder")
    pseudonym_key_file: str = existing(Path.is_file, "a key (`plantweave privacy key FILE` makes one)")
    kpi_policy_file: str = existing(Path.is_file, "a KPI policy (TOML)")
    incident_links_file: str = existing(Path.is_file, "what links evidence to incidents (TOML)")
    incident_causes_file: str = existing(Path.is_file, "the weights of cause candidates (TOML)")
    http_host: str = line("127.0.0.1", r"[A-Za-z0-9.:_-]+", "an address or host name to listen on")
    http_port: int = number(0, 0, 65_535)
    log_level: str = choice("info", "debug", "warning", "error")
    log_format: str = choice("json", "text")
    worker_id: str = line("", *_KAFKA_NAME)
    security_protocol: str = choice("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
    sasl_mechanism: str = choice("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    sasl_username: str = line("")
    sasl_password: str = line("", secret=True)
    ssl_cafile: str = existing(Path.is_file, "a file with CA certificates (PEM)")
    liveness_timeout_s: int = number(60, 5, 3_600)

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
