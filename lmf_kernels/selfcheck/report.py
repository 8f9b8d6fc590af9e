"""All of a GPU's verdicts at once, on request, as lines of a table."""

from . import measure, run, verdicts
from ..backends import dispatch

EACH = 120  # seconds that an Item may take here: nobody's work waits
COLUMNS = ("kernel", "task", "family", "variant", "fields", "verdict")


def survey(device, say, again=False):
    """Judge every kernel at everything that it could do on `device` and call say(line) for each.

    again: also what has a verdict already.
    """
    store = verdicts.store_of(device)
    say(headline(store.about))
    items = []
    for name, backend in dispatch.BACKENDS.items():
        if not backend.needs_evidence:
            continue
        available, detail = backend.availability()
        if not available:
            say(f"{name} cannot run here: {detail}")
            continue
        items += [*measure.self_tests(name, device), *measure.items_of(name)]
    if not items:
        return
    say(row(*COLUMNS))
    with run.turn(store.path, EACH) as mine:
        store.read()
        done = [] if again else [item for item in items if item in store.known]
        for item in done:
            say(line_of(store.known[item]))
        left = [item for item in items if item not in done]
        if not mine:
            say("another process is checking this kind of GPU: try again later")
            return
        outcome = run.check(store, device, left, (), EACH * len(left), EACH, lambda verdict: say(line_of(verdict)))
        for item, why in outcome.unresolved.items():
            say(row(*item, f"none: {why}"))
        run.keep(store, outcome.verdicts)
    if store.path.exists():
        say(f"kept in {store.path}")


def headline(about):
    """What verdicts are about, from `verdicts.key`."""
    gpu = about["gpu"]
    if about["capability"]:
        gpu += ", compute capability {}.{}".format(*about["capability"])
    return f"{gpu}, driver {about['driver']}, torch {about['torch']}, Triton {about['triton']}, build {about['build']}"


def line_of(verdict):
    """A verdict as a line of the table."""
    return row(*verdict.item, verdict.sentence())


def row(kernel, task, family, variant, fields, last):
    """A line of the table."""
    return f"{kernel:8}{task:11}{family:15}{variant:14}{fields:10}{last}"
