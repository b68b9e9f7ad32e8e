"""Settings: what is taken from where, and that every mistake is named with what to do about it."""

from dataclasses import fields
from pathlib import Path

import pytest

from streams.settings import Settings
from streams.settings_fields import SettingsError

BAD = sorted((Path(__file__).parent / "config_bad").glob("*.toml"))


def faults_of(env: dict[str, str], file: Path | None = None) -> dict[str, str]:
    """Name and problem of each fault of a configuration that must not load."""
    with pytest.raises(SettingsError) as caught:
        Settings.load(env, file)
    return {fault.name: fault.problem for fault in caught.value.faults}


def test_defaults() -> None:
    """Without environment and file every setting has its documented default, and the defaults have no fault."""
    assert Settings.load({}) == Settings()


def test_each_field_is_read_from_its_variable() -> None:
    """A field's variable is PLANTWEAVE_ and its name in upper case; numbers are taken as numbers."""
    env = {f"PLANTWEAVE_{f.name.upper()}": f" {f.default} " for f in fields(Settings)}
    assert Settings.load(env) == Settings()
    assert Settings.load({"PLANTWEAVE_PARTITIONS": "12"}).partitions == 12


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    """Of a setting given twice the environment's value counts; the file, named by a variable, gives the rest."""
    file = tmp_path / "plantweave.toml"
    file.write_text('site = "north"\npartitions = 3\n')
    settings = Settings.load({"PLANTWEAVE_CONFIG": str(file), "PLANTWEAVE_PARTITIONS": "4"})
    assert (settings.site, settings.partitions) == ("north", 4)


def test_environment_repairs_the_file(tmp_path: Path) -> None:
    """A wrong value in the file that the environment overrides is no fault: it is not used."""
    file = tmp_path / "plantweave.toml"
    file.write_text("partitions = 0\n")
    assert Settings.load({"PLANTWEAVE_PARTITIONS": "4"}, file).partitions == 4


@pytest.mark.parametrize("file", BAD, ids=[file.stem for file in BAD])
def test_each_mistake_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with one mistake gives one fault, whose line says which setting, what is wrong and what to do."""
    monkeypatch.chdir(file.parent)
    with pytest.raises(SettingsError) as caught:
        Settings.load({}, Path(file.name))
    assert file.with_suffix(".txt").read_text().rstrip("\n") in str(caught.value)
    assert len(caught.value.faults) == 1


def test_all_faults_at_once(tmp_path: Path) -> None:
    """Faults of the file, of the environment and between settings are reported together, not one per attempt."""
    file = tmp_path / "plantweave.toml"
    file.write_text('partitions = 0\nframing = "confluent"\ncolor = 1\n')
    env = {"PLANTWEAVE_HTTP_PORT": "http", "PLANTWEAVE_BOOTSTRAP_SERVER": "127.0.0.1:9092"}
    names = {"partitions", "registry_url", "color", "http_port", "PLANTWEAVE_BOOTSTRAP_SERVER"}
    assert faults_of(env, file).keys() == names


def test_unknown_variable_names_the_nearest() -> None:
    """A misspelt variable is a fault that names the variable probably meant; what is not ours is left alone."""
    with pytest.raises(SettingsError, match="write PLANTWEAVE_BOOTSTRAP_SERVERS if you meant that"):
        Settings.load({"PLANTWEAVE_BOOTSTRAPSERVER": "127.0.0.1:9092"})
    assert Settings.load({"PLANTWEAVE_CACHE": "/var/cache/x", "HOME": "/root"}) == Settings()


def test_missing_file_is_a_fault(tmp_path: Path) -> None:
    """A file that was named and is not there stops the start; it is not passed over."""
    assert faults_of({"PLANTWEAVE_CONFIG": str(tmp_path / "none.toml")}).keys() == {"PLANTWEAVE_CONFIG"}


def test_password_is_never_shown() -> None:
    """The password is in neither repr nor error, even under a misspelt name or in an address."""
    good = {
        "PLANTWEAVE_SECURITY_PROTOCOL": "SASL_SSL",
        "PLANTWEAVE_SASL_MECHANISM": "PLAIN",
        "PLANTWEAVE_SASL_USERNAME": "plant",
        "PLANTWEAVE_SASL_PASSWORD": "hunter2",
        "PLANTWEAVE_REGISTRY_URL": "https://registry.example",
        "PLANTWEAVE_REGISTRY_USERNAME": "hunter2",
        "PLANTWEAVE_REGISTRY_PASSWORD": "hunter2",
    }
    settings = Settings.load(good)
    assert settings.sasl_password == "hunter2"  # noqa: S105  # a made-up one
    assert "hunter2" not in repr(settings)
    bad = {
        "PLANTWEAVE_SASL_PASSWORD": "hunter2",
        "PLANTWEAVE_SASL_PASWORD": "hunter2",
        "PLANTWEAVE_REGISTRY_URL": "https://plant:hunter2@registry.example",
    }
    with pytest.raises(SettingsError) as caught:
        Settings.load(bad)
    assert len(caught.value.faults) == 3
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.faults)
