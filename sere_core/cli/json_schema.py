"""The JSON Schema of configs with the components of this environment, for editors."""

from __future__ import annotations

import copy
from typing import Any

from sere_core.config.loader import MAPS, SINGLE
from sere_core.config.model import RunConfig
from sere_registry.catalog import Catalog
from sere_registry.entries import WORDS, Entry
from sere_registry.kinds import GROUPS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: `${vars.x}` may stand for a value of any type
_REFERENCE = {"type": "string", "pattern": r"\$\{[^{}]+\}"}
Schema = dict[str, Any]  # as pydantic types it


def schema(catalog: Catalog) -> Schema:
    """The schema: every component of the catalog that can be used, its parameters selected by the constant `use`.

    It accepts parts of configs too, for files that are extended or extend others: required keys are asked for only where
    there is no `extends`, and `null` may take the place of anything that may be removed.
    """
    made: Schema = RunConfig.model_json_schema()
    models: Schema = made.pop("$defs")
    needed = {section: models.get(value.get("$ref", "").rpartition("/")[2], {}) for section, value in made["properties"].items()}
    needed = {section: {"required": model["required"]} for section, model in needed.items() if "required" in model}
    definitions: Schema = {name: _relaxed(part) for name, part in models.items()}
    listed = catalog.inspect()
    for kind in GROUPS:
        usable = [entry for entry in listed if entry.kind == kind and entry.loaded and entry.state in ("loaded", "incomplete")]
        branches: list[Schema] = []
        for entry in usable:
            params = _params(entry, definitions)
            alone = sum(entry.short_name == other.short_name for other in usable) == 1
            for name in [entry.short_name, entry.full_name] if alone else [entry.full_name]:
                use = {"const": name, "description": entry.spec.summary}
                properties = {"use": use, "params": {"$ref": params}}
                branches.append({"title": entry.full_name, "type": "object", "properties": properties, "required": ["use"]})
        free = {"type": "object", "properties": {"use": {"type": "string", "pattern": "^file:|\\$\\{"}, "params": {"type": "object"}}}
        later = {"type": "object", "properties": {"params": {"type": "object"}}, "not": {"required": ["use"]}}
        more: list[Schema] = [
            {**free, "required": ["use"], "title": "a component in a file"},
            {**later, "title": "changes to a block of an extended file"},
        ]
        for branch in [*branches, *more]:
            if kind == "loss":
                branch["properties"]["weight"] = {"$ref": "#/$defs/weight"}
            branch["additionalProperties"] = False
        definitions[f"{kind}_block"] = {"description": WORDS[kind], "oneOf": [*branches, *more]}
    definitions["weight"] = definitions.pop("LossBlock")["properties"]["weight"]
    del definitions["Block"]
    properties = _relaxed(made)["properties"]
    for section, kind in SINGLE.items():
        properties[section] = {**_about(properties[section]), "anyOf": [{"$ref": f"#/$defs/{kind}_block"}, {"type": "null"}]}
    for section, kind in MAPS.items():
        block = {"anyOf": [{"$ref": f"#/$defs/{kind}_block"}, {"type": "null"}]}
        properties[section] = {**_about(properties[section]), "type": ["object", "null"], "additionalProperties": block}
    metric = {"anyOf": [{"$ref": "#/$defs/Metric"}, {"type": "null"}]}
    properties["metrics"] |= {"type": ["object", "null"], "additionalProperties": metric}
    del properties["metrics"]["anyOf"]
    for name in ("weak", "strong"):
        definitions["ViewSets"]["properties"][name] = {"type": ["array", "null"], "items": {"$ref": "#/$defs/view_block"}}
    properties["extends"] = {
        "description": "files that this one is laid over, relative to it",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    }
    properties["vars"] = {"description": "values that ${vars.x} refers to", "type": "object"}
    properties["sere"] = {"description": "the grammar version", "const": 1}
    return {
        "$schema": DIALECT,
        "title": "a config of sere",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": made["required"], "properties": needed},
        "$defs": definitions,
    }


def _params(entry: Entry, definitions: Schema) -> str:
    """Add the parameters of a component, and what they refer to; the reference to them."""
    prefix = f"{entry.kind}.{entry.full_name}"
    try:
        made: Schema = entry.spec.params.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
    except Exception:  # a type of a plugin that JSON Schema cannot say: its parameters are not completed, all others are
        made = {"type": "object"}
    for name, part in made.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = _relaxed(part)
    definitions[prefix] = {**_relaxed(made), "title": f"parameters of {entry.full_name}"}
    return f"#/$defs/{prefix}"


def _relaxed(model: Schema) -> Schema:
    """A model's schema in which each value may be a reference, or null, and nothing is required: it may be a part."""
    result = {key: value for key, value in copy.deepcopy(model).items() if key not in ("required", "title")}
    if "properties" not in result:
        return result
    for name, value in result["properties"].items():
        kept = {key: part for key, part in value.items() if key not in ("description", "default", "title", "search")}
        changed = {**_about(value), "anyOf": [kept, {"type": "null"}, _REFERENCE]} if kept else _about(value)
        if name in model.get("required", []):
            changed["description"] = f"{changed.get('description', '')} (required)".strip()
        result["properties"][name] = changed
    return result


def _about(value: Schema) -> Schema:
    return {key: value[key] for key in ("description", "default", "search") if key in value}
