"""Records of several calls as one: what was found last counts, and what one call left out another may bring."""

import pathlib

from . import identity, plan, results_file


def merged(records):
    """One record of records that go together (`identity.difference` finds none), in any order."""
    records = sorted(records, key=lambda record: record["finished"])
    whole = {**records[-1], "started": min(record["started"] for record in records), "parts": {}, "facts": {}}
    cases = {}
    for record in records:
        join_facts(whole["facts"], record["facts"])
        for name, part in record["parts"].items():
            if counts(part, whole["parts"].get(name)):
                whole["parts"][name] = part
        for case in record["cases"]:
            _join_case(cases, case)
    whole["parts"] = {name: {**part, "missed": [case for case in part["missed"] if case not in cases]}
                      for name, part in sorted(whole["parts"].items(), key=lambda item: _place(item[0]))}
    return {**whole, "cases": list(cases.values())}


def counts(part, other):
    """Whether a part's run counts rather than another (None: there is none): the later one, but one that was never
    begun says nothing against one that was."""
    return other is None or (part["begun"], part["at"]) >= (other["begun"], other["at"])


def join_facts(facts, more):
    """Add facts to facts; of two dictionaries under one name the entries are joined."""
    for name, value in more.items():
        both = isinstance(value, dict) and isinstance(facts.get(name), dict)
        facts[name] = {**facts[name], **value} if both else value


def fitting(paths, record):
    """(records read from paths that go with `record`, sentences about those that do not)."""
    found, sentences = [], []
    for path in map(pathlib.Path, paths):
        try:
            other = results_file.read(path)
        except (OSError, ValueError) as error:
            sentences.append(f"{error}; it is left out")
            continue
        reason = identity.difference(other, record)
        if reason is None:
            found.append(other)
        else:
            sentences.append(f"{path} is left out: {reason}")
    return found, sentences


def _join_case(cases, case):
    """Of one case measured several times the last counts; it carries the earlier medians."""
    name = case["name"]
    first, last = sorted((cases.get(name, case), case), key=lambda one: one["at"])
    medians = dict(entry for one in (first, last) for entry in one.get("earlier", ()))
    if first["at"] != last["at"]:
        medians[first["at"]] = first["seconds"]["median"]
    cases[name] = {**last, "earlier": sorted(medians.items())} if medians else last


def _place(name):
    """In the order of the plan, what is not in it first."""
    names = [part.name for part in plan.PARTS]
    return names.index(name) if name in names else -1
