"""What people read in their own language: shipped whole, and added to by an organisation."""

import ast
import json
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator_defs.definitions import orchestrator
from resources.errors import EnginePaused, NotAuthorised
from resources.translations import LOCALES, merge, translations
from tests.architecture import ROOT, project_modules
from tests.toy_network import DEVICE, World, device_workflows

LANGUAGES = ("en-GB", "nl-NL")
REASON = re.compile(r"(subscription|workflow|engine)\.[a-z_]+")
PAGE = re.compile(r"(Form|Page)$")
NO_FIELDS = {"model_config", "meta__"}


def shipped(language):
    return translations(language, {}, [LOCALES, *orchestrator.translations])


@cache
def reasons():
    """Every key of a reason that the engine's sources speak of."""
    texts = {
        node.value
        for path, module in project_modules().items()
        if not path.startswith("orchestrator_defs/api")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return sorted(text for text in texts if REASON.fullmatch(text))


@cache
def fields():
    """Every field of a page that the sources declare."""
    return sorted(
        {
            line.target.id
            for path, module in project_modules().items()
            for node in ast.walk(module.tree)
            if not path.startswith("orchestrator_defs/api")
            and isinstance(node, ast.ClassDef)
            and node.bases
            and (node.name.endswith("Form") or any(PAGE.search(ast.unparse(base)) for base in node.bases))
            for line in node.body
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id not in NO_FIELDS
        }
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_workflow_has_a_name(language):
    words = shipped(language)["workflow"]
    assert [name for name in orchestrator.workflows if not words.get(name)] == []


def test_names_of_workflows_are_those_of_the_code_in_english():
    assert {name: one.description for name, one in orchestrator.workflows.items()}.items() <= shipped("en-GB")[
        "workflow"
    ].items()


def test_the_sources_speak_of_reasons():
    assert {EnginePaused().reason, NotAuthorised().reason, "subscription.not_in_sync"} <= set(reasons())


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_a_sentence(language):
    words = shipped(language)
    parted = {reason: reason.partition(".") for reason in reasons()}
    assert [reason for reason, (group, _, key) in parted.items() if not words[group].get(key)] == []


def test_the_sources_declare_fields():
    assert {"node_name", "note", "saps", "vlan", "product", "decision"} <= set(fields())


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_field_of_a_form_has_a_label(language):
    words = shipped(language)["forms"]["fields"]
    assert [field for field in fields() if not words.get(field)] == []


def test_all_languages_have_the_same_keys():
    def keys(part, path=()):
        return {(*path, key) for key in part if not isinstance(part[key], dict)} | {
            one for key in part if isinstance(part[key], dict) for one in keys(part[key], (*path, key))
        }

    english = keys(shipped("en-GB"))
    assert english
    assert {language: english ^ keys(shipped(language)) for language in LANGUAGES} == {key: set() for key in LANGUAGES}


def test_translations_are_shipped_in_the_package():
    folders = {folder.relative_to(ROOT).parts[0] for folder in (LOCALES, *orchestrator.translations)}
    assert folders == {"resources"}  # whose JSON files setup.py packs


# --- over HTTP ---


@pytest.fixture
def engine(engine_of):
    return engine_of(*device_workflows(World()), products=[DEVICE])


@pytest.fixture
def real(engine, api_of):
    """Serves this project's own workflows; the database is not asked."""
    return api_of(SimpleNamespace(orchestrator=orchestrator, instance=engine.instance))


def test_labels_and_help_of_fields_are_where_clients_look(real):
    fields = real.get("/translations/en-GB").json()["forms"]["fields"]
    assert fields["node_name"] == "Name"
    assert fields["node_name_info"] == "A host name, such as ams1"


def test_dutch_is_dutch(real):
    answer = real.get("/translations/nl-NL").json()
    assert answer["workflow"]["create_node"] == "Node aanmaken"
    assert answer["subscription"]["not_in_sync"] == "Deze subscription is niet in sync"


def test_workflows_without_translation_have_the_descriptions_of_the_code(engine, api_of):
    assert api_of(engine).get("/translations/nl-NL").json()["workflow"]["create_device"] == "Create device"


def test_of_an_unknown_language_there_is_what_the_code_says(engine, api_of):
    answer = api_of(engine).get("/translations/xx-XX")
    assert answer.status_code == 200
    assert answer.json()["forms"] == {"fields": {}}
    assert answer.json()["workflow"]["create_device"] == "Create device"


def test_what_is_no_language_is_refused(engine, api_of):
    client = api_of(engine)
    for language in ("english", "en_GB", "EN-gb", "en-GB.json", "..%2Fen-GB", "en-GB%0A", "a" * 30 + "-B"):
        assert client.get(f"/translations/{language}").status_code in (400, 404, 422), language


def test_an_organisation_adds_words_and_changes_them(engine, api_of, tmp_path):
    own = {"forms": {"fields": {"hostname": "Host", "note": "Remark"}}, "ours": {"a": "b"}}
    (tmp_path / "en-GB.json").write_text(json.dumps(own))
    answer = api_of(engine, translations_dir=tmp_path).get("/translations/en-GB").json()
    assert answer["forms"]["fields"]["hostname"] == "Host"
    assert answer["forms"]["fields"]["note"] == "Remark"
    assert answer["forms"]["fields"]["product"] == "Product"
    assert answer["ours"] == {"a": "b"}


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_a_file_that_cannot_be_read_is_logged_and_passed_by(engine, api_of, tmp_path, text, caplog):
    (tmp_path / "en-GB.json").write_bytes(text.encode(errors="surrogateescape"))
    answer = api_of(engine, translations_dir=tmp_path).get("/translations/en-GB")
    assert answer.json()["forms"]["fields"]["note"] == "Note"
    assert str(Path(tmp_path / "en-GB.json")) in caplog.text


def test_merging_leaves_what_it_is_given_alone():
    one, other = {"a": {"b": 1}}, {"a": {"c": 2}, "d": {"e": 3}}
    assert merge(one, other) == {"a": {"b": 1, "c": 2}, "d": {"e": 3}}
    assert (one, other) == ({"a": {"b": 1}}, {"a": {"c": 2}, "d": {"e": 3}})
