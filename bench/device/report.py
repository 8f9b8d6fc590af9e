"""What the parts of one call found.

A record is what a results file holds:

- "parts": name -> {"call", "at", "begun", "seconds", "failed": why or None, "failures", "warnings", "missed": names of
  cases that there was no time for};
- "cases" and "facts", as the parts wrote them; each case says in which part and call and when it was measured;
- what all of it stands on: "machine", "versions", "commit", "sources";
- what `derived.finished` works out, "complete" among it.
"""

import functools

from lmf_kernels.backends.cuda import native
from bench.results_file import environment, now

from . import derived, identity, merging
from .results_file import SCHEMA


class Report:
    """The findings of one call, part by part."""

    def __init__(self, run_config, started, call=None):
        self.run_config, self.started, self.call = run_config, started, call
        self.cases, self.facts, self.parts = [], {}, {}

    def take(self, job, reason, seconds):
        """Add a part's findings. reason: why it failed, or None."""
        entries = job.found()
        self.cases += [{**entry["case"], "part": job.name, "call": self.call, "at": entry["at"]}
                       for entry in entries if "case" in entry]
        merging.join_facts(self.facts, {entry["fact"]: entry["value"] for entry in entries if "fact" in entry})
        self.lost(job.name, reason, seconds, begun=True)
        part = self.parts[job.name]
        part["failures"] = [entry["failure"] for entry in entries if "failure" in entry] + part["failures"]
        part["warnings"] = [entry["warning"] for entry in entries if "warning" in entry]
        part["missed"] = [entry["missed"] for entry in entries if "missed" in entry]

    def lost(self, name, reason, seconds=0.0, begun=False):
        """A part's end; reason: why it failed or never ran, or None."""
        self.parts[name] = {"call": self.call, "at": now(), "begun": begun, "seconds": round(seconds, 1),
                            "failed": reason, "failures": [reason] if reason else [], "warnings": [], "missed": []}

    @property
    def failures(self):
        return derived.failures(self.parts)

    def record(self):
        """The record of this call alone."""
        facts = {**self.facts}
        context = environment()
        context["versions"] |= facts.pop("versions", {})
        return {
            "schema": SCHEMA, "on": "gpu", "started": self.started, "finished": now(), "quick": self.run_config.dry,
            **context, "sources": sources(), "parts": self.parts, "facts": facts, "cases": self.cases}

    def finish(self, earlier=()):
        """The record of this call and of earlier records, which must go with it, as a results file has it."""
        return derived.finished(merging.merged([*earlier, self.record()]))


@functools.cache
def sources():
    """A digest of what is installed and measured: Python files, and what the compiled modules were built from."""
    built = native.module.build_info()["sources"] if native.module else "none"
    return f"{identity.python_digest(identity.installed_folders())[:16]}-{built[:16]}"
