"""Settings: which source decides, what is never read, what cannot be set, and that a report names each source."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import click
import pytest
from jsonschema import Draft202012Validator

from kit.cli import kit as group
from kit.cli.settings.options import ConfiguredOption
from kit.cli.settings.sources import KNOWN
from tests.cli.test_manners import commands, inner
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import Desk


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of the user's own configuration file; there is none yet."""
    folder = tmp_path / "home" / "kit"
    folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder.parent))
    return folder / "kit.toml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(place: Path, *lines: str) -> Path:
    place.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    place.chmod(0o600)
    return place


def verify(path: Path, *words: object) -> Outcome:
    return kit("verify", path, "--workers", 1, *words)


def policy_of(desk: Desk) -> Path:
    path = desk.kits.parent / "policy.json"
    made = kit("trust", "init", path, "--key", desk.public("vendor"), "publisher")
    assert made.code == 0, made
    return path


class TestOrder:
    def test_an_option_goes_before_the_environment_and_that_before_the_file(
        self, desk: Desk, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = desk.kit()
        write(home, f'trusted-keys = "{desk.public("vendor")}"')
        assert verify(path).code == 0
        monkeypatch.setenv("KIT_TRUSTED_KEYS", str(desk.public("stranger")))
        assert verify(path).code == 4
        assert verify(path, *desk.trust("vendor")).code == 0

    def test_a_file_that_is_named_replaces_the_user_s(
        self, desk: Desk, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, keys = desk.kit(), f'trusted-keys = ["{desk.public("vendor")}"]'
        write(home, f'trusted-keys = "{desk.public("stranger")}"')
        assert verify(path).code == 4
        named = write(desk.keys / "site.toml", keys)
        assert verify(path, "--config", named).code == 0
        monkeypatch.setenv("KIT_CONFIG", str(named))
        assert verify(path).code == 0
        assert verify(path, "--config", home).code == 4

    @pytest.mark.parametrize("first", ["trust", "keys"])
    def test_keys_and_policy_never_join_across_sources(
        self, first: str, desk: Desk, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, policy = desk.kit(), policy_of(desk)
        if first == "trust":
            write(home, f'trusted-keys = "{desk.public("stranger")}"')
            monkeypatch.setenv("KIT_TRUST", str(policy))
            shown = verify(path, "--json").json["configuration"]
            assert [use["option"] for use in shown] == ["--trust"]
        else:
            write(home, f'trust = "{policy}"')
            monkeypatch.setenv("KIT_TRUSTED_KEYS", str(desk.public("stranger")))
            assert verify(path).code == 4
        assert verify(path, *desk.trust("stranger")).code == 4

    def test_both_in_one_source_are_refused(self, desk: Desk, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        key = desk.public("vendor")
        write(home, 'trust = "p"', f'trusted-keys = "{key}"')
        verify(desk.kit()).refused(11, str(home), "exclude each other")
        home.unlink()
        monkeypatch.setenv("KIT_TRUST", "/p")
        monkeypatch.setenv("KIT_TRUSTED_KEYS", str(key))
        verify(desk.kit()).refused(64, "KIT_TRUST and KIT_TRUSTED_KEYS exclude each other", "unset KIT_TRUSTED_KEYS")

    def test_an_unverified_base_takes_no_configured_trust(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("KIT_TRUSTED_KEYS", str(desk.public("stranger")))
        done = kit(
            *("extract", desk.kit(), "--insecure-unverified-base", "-o", tmp_path / "dump", "--workers", 1, "--json")
        )
        assert done.code == 0, done
        assert "configuration" not in done.json


class TestFile:
    def test_paths_are_relative_to_the_file(self, desk: Desk, home: Path) -> None:
        (home.parent / "publisher.pub").write_bytes(desk.public("vendor").read_bytes())
        write(home, 'trusted-keys = ["publisher.pub"]')
        assert verify(desk.kit()).code == 0

    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
    def test_one_that_others_can_change_is_refused(self, mode: int, desk: Desk, home: Path) -> None:
        write(home, 'operator = "Ada"').chmod(mode)
        verify(desk.kit(), *desk.trust("vendor")).refused(13, "others can change", f"chmod go-w {home}")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_one_of_another_user_is_refused(self, desk: Desk, home: Path) -> None:
        os.chown(write(home, 'operator = "Ada"'), 4242, -1)
        verify(desk.kit(), *desk.trust("vendor")).refused(13, "belongs to another user (uid 4242)")

    def test_a_link_is_refused(self, desk: Desk, home: Path) -> None:
        home.symlink_to(write(desk.keys / "real.toml", 'operator = "Ada"'))
        verify(desk.kit(), *desk.trust("vendor")).refused(13, "a symbolic link", "realpath")

    def test_a_named_one_that_is_missing_is_refused(self, desk: Desk, tmp_path: Path) -> None:
        verify(desk.kit(), *desk.trust("vendor"), "--config", tmp_path / "absent").refused(13, "No such file")

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("force = true", "force: is a decision about one run"),
            ("insecure-unverified-base = true", "is a decision about one run"),
            ("allow_links = true", "is a decision about one run"),
            ("trusted-key = 'k'", "did you mean trusted-keys?"),
            ("trust = 3", "trust: a text, not empty, is expected"),
            ("trust = ['a']", "trust: a text, not empty, is expected"),
            ("trusted-keys = []", "trusted-keys: a text or a list of texts"),
            ("operator = ''", "operator: a text, not empty"),
            ("operator = ", "is not TOML"),
            ("operator = 'a'\noperator = 'b'", "is not TOML"),
        ],
    )
    def test_what_is_no_setting_is_refused(self, text: str, complaint: str, desk: Desk, home: Path) -> None:
        write(home, text)
        verify(desk.kit(), *desk.trust("vendor")).refused(11, str(home), complaint)


class TestPlacesThatAreNotRead:
    def test_the_working_folder_and_the_folder_of_the_kit_are_named_and_not_read(
        self, desk: Desk, elsewhere: Path
    ) -> None:
        path = desk.kit()
        trap = 'trusted-keys = "nothing"'
        places = [write(elsewhere / "kit.toml", trap), write(desk.kits / "kit.toml", trap)]
        done = verify(path, *desk.trust("vendor"))
        assert done.code == 0, done
        assert [line.split(" is not read")[0] for line in done.err.splitlines()] == [
            "kit: warning: kit.toml",
            f"kit: warning: {places[1]}",
        ]

    def test_one_that_is_named_there_is_read_and_not_warned_of(self, desk: Desk, elsewhere: Path) -> None:
        write(elsewhere / "kit.toml", f'trusted-keys = "{desk.public("vendor")}"')
        done = verify(desk.kit(), "--config", "kit.toml")
        assert (done.code, done.err) == (0, "")

    @pytest.mark.parametrize("variable", ["KIT_TRUST", "KIT_TRUSTED_KEYS", "KIT_SIGNING_KEY", "KIT_CONFIG"])
    def test_a_variable_never_depends_on_the_working_folder(
        self, variable: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, "here")
        verify(desk.kit()).refused(64, f"{variable}: 'here' is relative", f'{variable}="$PWD/here"')


class TestReports:
    def test_text_and_json_name_each_value_and_its_source(
        self, desk: Desk, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KIT_TRUSTED_KEYS", str(desk.public("vendor")))
        monkeypatch.setenv("KIT_OPERATOR", "Ada")
        write(home, f'signing-key = "{desk.keys / "site"}"', 'environment = "harbour"')
        done = kit("patch", desk.kit(), "-o", desk.kits / "new", "--workers", 1)
        assert done.code == 0, done
        assert {line for line in done.out.splitlines() if line.startswith("configured: ")} == {
            f"configured: --trusted-key {desk.public('vendor')} (KIT_TRUSTED_KEYS)",
            "configured: --operator Ada (KIT_OPERATOR)",
            f"configured: --signing-key {desk.keys / 'site'} ({home})",
            f"configured: --environment harbour ({home})",
        }
        found = verify(desk.kits / "new", "--json").json["configuration"]
        assert found == [
            {
                "option": "--trusted-key",
                "values": [str(desk.public("vendor"))],
                "source": "environment",
                "name": "KIT_TRUSTED_KEYS",
            }
        ]

    def test_a_report_without_settings_is_as_ever(self, desk: Desk, home: Path) -> None:
        write(home, 'operator = "Ada"')
        done = verify(desk.kit(), *desk.trust("vendor"), "--json")
        assert "configuration" not in done.json

    def test_the_command_shows_every_setting_and_what_is_none(
        self, home: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(elsewhere / "kit.toml", "force = true")
        write(home, 'signing-key = ["env:SITE_KEY", "ada.pem"]')
        monkeypatch.setenv("KIT_TRUSTED_KEY", "/k")
        monkeypatch.setenv("KIT_ENVIRONMENT", "harbour")
        done = kit("config")
        assert done.code == 0
        assert f"signing-key   env:SITE_KEY, {home.parent / 'ada.pem'}  ({home})" in done.out
        assert "environment   harbour  (KIT_ENVIRONMENT)" in done.out
        assert [line.split()[0] for line in done.out.splitlines()] == ["file", *KNOWN]
        assert "KIT_TRUSTED_KEY is no setting; did you mean KIT_TRUSTED_KEYS?" in done.err
        assert "kit.toml is not read" in done.err
        assert set(json.loads(kit("config", "--json").out)["settings"]) == {"signing-key", "environment"}

    def test_the_command_refuses_what_every_command_refuses(self, home: Path) -> None:
        write(home, 'operator = "Ada"').chmod(0o666)
        kit("config").refused(13, "others can change")


class TestSecrets:
    def test_a_signing_key_of_an_environment_variable_signs(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SITE_KEY", (desk.keys / "site").read_text())
        monkeypatch.setenv("KIT_SIGNING_KEY", "env:SITE_KEY")
        words = ("patch", desk.kit(), *desk.trust("vendor"), "--workers", 1)
        assert kit(*words, "-o", desk.kits / "one").code == 0
        assert kit(*words, "-o", desk.kits / "two", "--signing-key", "env:SITE_KEY").code == 0
        assert verify(desk.kits / "one", *desk.trust("vendor", "site")).code == 0

    def test_a_signing_key_of_a_descriptor_signs(self, desk: Desk) -> None:
        with (desk.keys / "site").open("rb") as file:
            done = kit(
                *("patch", desk.kit(), *desk.trust("vendor"), "--workers", 1, "-o", desk.kits / "one"),
                *("--signing-key", f"fd:{file.fileno()}"),
            )
        assert done.code == 0, done

    @pytest.mark.parametrize("name", ["env:ABSENT", "fd:987"])
    def test_one_that_is_not_there_is_an_unusable_key(self, name: str, desk: Desk) -> None:
        words = ("patch", desk.kit(), *desk.trust("vendor"), "-o", desk.kits / "one", "--signing-key", name)
        assert kit(*words).code == 13
        assert f"kit: error: {name}: " in kit(*words).err

    @pytest.mark.parametrize("name", ["env:", "fd:", "fd:x"])
    def test_a_malformed_name_is_wrong_use(self, name: str, desk: Desk) -> None:
        words = ("patch", desk.kit(), *desk.trust("vendor"), "-o", desk.kits / "one", "--signing-key", name)
        kit(*words).refused(64, "env:NAME or fd:N is expected")

    def test_a_key_instead_of_its_name_is_never_shown(
        self, desk: Desk, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = (desk.keys / "site").read_text()
        write(home, f'signing-key = """{text}"""')
        done = kit("config")
        done.refused(64, "holds a key", "env:NAME")
        assert text.splitlines()[1] not in done.err
        home.unlink()
        monkeypatch.setenv("KIT_SIGNING_KEY", text)
        done = kit("config")
        done.refused(64, "KIT_SIGNING_KEY holds a key", "env:NAME")
        assert text.splitlines()[1] not in done.err


class TestKeys:
    def test_a_folder_gives_its_public_keys(self, desk: Desk) -> None:
        (desk.keys / "README").write_text("whose keys these are")
        (desk.keys / ".hidden.pub").write_text("nothing")
        assert verify(desk.patched(), "--trusted-key", desk.keys).code == 0

    def test_a_file_of_several_keys_gives_all(self, desk: Desk, tmp_path: Path) -> None:
        both = tmp_path / "both.pem"
        both.write_bytes(b"# ours\n" + b"".join(desk.public(name).read_bytes() for name in ("vendor", "site")))
        assert verify(desk.patched(), "--trusted-key", both).code == 0

    def test_a_folder_without_a_key_is_refused(self, desk: Desk, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        verify(desk.kit(), "--trusted-key", tmp_path / "empty").refused(13, "no public key")

    def test_a_file_in_a_folder_that_is_no_key_is_refused(self, desk: Desk) -> None:
        (desk.keys / "torn.pub").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n")
        verify(desk.kit(), "--trusted-key", desk.keys).refused(13, "torn.pub")

    def test_a_private_key_among_public_ones_in_a_file_is_refused(self, desk: Desk, tmp_path: Path) -> None:
        mixed = tmp_path / "mixed.pem"
        mixed.write_bytes(desk.public("vendor").read_bytes() + (desk.keys / "site").read_bytes())
        verify(desk.kit(), "--trusted-key", mixed).refused(13, "PEM blocks where one key is expected")

    def test_an_output_does_not_replace_a_key_in_a_folder(self, desk: Desk) -> None:
        key = desk.public("vendor")
        before = key.read_bytes()
        done = kit("plan", desk.kit(), "--trusted-key", desk.keys, "--metrics", key, "--workers", 1)
        assert done.code == 64, done
        assert key.read_bytes() == before


def test_only_these_options_can_be_configured() -> None:
    found = set()
    for words in commands():
        command: click.Command = group
        for word in words:
            assert isinstance(command, click.Group)
            command = inner(command, word)
        found |= {max(one.opts, key=len) for one in command.params if isinstance(one, ConfiguredOption)}
    assert found == {known.option for known in KNOWN.values()}
    assert not {option for option in found if option.startswith(("--insecure", "--force", "--allow"))}


def test_approvals_and_policies_are_signed_with_a_key_that_is_named() -> None:
    for words in (("approval", "create"), ("approval", "sign"), ("trust", "sign")):
        outer = inner(group, words[0])
        assert isinstance(outer, click.Group)
        (option,) = (one for one in inner(outer, words[1]).params if "--signing-key" in one.opts)
        assert not isinstance(option, ConfiguredOption)


class TestSchemas:
    @pytest.mark.parametrize(
        ("text", "is_valid"),
        [
            ('trust = "p"\nsigning-key = ["a", "env:B"]\noperator = "Ada"\nenvironment = "e"', True),
            ('trusted-keys = ["a", "b"]', True),
            ('trusted-keys = "a"', True),
            ("", True),
            ('trust = "p"\ntrusted-keys = "a"', False),
            ("trust = 3", False),
            ('trust = ["p"]', False),
            ("trusted-keys = []", False),
            ('operator = ""', False),
            ("force = true", False),
        ],
    )
    def test_reader_and_schema_of_the_file_agree(self, text: str, *, is_valid: bool, home: Path) -> None:
        write(home, text)
        assert (kit("config").code == 0) == is_valid
        schema = json.loads((ROOT / "schemas" / "configuration.schema.json").read_text())
        assert Draft202012Validator(schema).is_valid(tomllib.loads(text)) == is_valid

    def test_the_report_of_the_command_is_valid(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        schema = json.loads((ROOT / "schemas" / "config-report.schema.json").read_text())
        Draft202012Validator(schema).validate(kit("config", "--json").json)
        write(home, 'trusted-keys = ["a", "b"]')
        monkeypatch.setenv("KIT_TRUSTED_KEY", "/k")
        Draft202012Validator(schema).validate(kit("config", "--json").json)

    def test_reports_that_name_settings_are_valid(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KIT_TRUSTED_KEYS", str(desk.keys))
        monkeypatch.setenv("KIT_SIGNING_KEY", str(desk.keys / "site"))
        path, new, delta = desk.kit(), desk.kits / "new", desk.kits / "delta"
        runs: dict[str, tuple[object, ...]] = {
            "patch-report": ("patch", path, "-o", new, "--merkle", "--workers", 1),
            "verify-report": ("verify", new, "--workers", 1),
            "delta-report": ("delta", "build", path, new, "-o", delta, "--workers", 1),
            "extract-report": ("extract", new, "-o", desk.kits / "dump", "--workers", 1),
        }
        for name, words in runs.items():
            done = kit(*words, "--json")
            assert done.code == 0, done
            assert done.json["configuration"], name
            schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
            Draft202012Validator(schema).validate(done.json)
