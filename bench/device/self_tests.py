"""What kernels rely on and nothing but a GPU can try, before anything else: a tile by wgmma where there is such."""

from lmf_kernels.backends.dispatch import BACKENDS
from lmf_kernels.selfcheck import measure, run, verdicts


def self_tests(job):
    """facts["self-tests"]: {test: what was found}, each tried in a process of its own, which may hang or crash. The
    verdicts are kept where the kernels of later parts look for them."""
    device = job.run_config.device
    items = [item for name, backend in BACKENDS.items() if backend.needs_evidence
             for item in measure.self_tests(name, device)]
    found = {}
    if items:
        store = verdicts.store_of(device)
        outcome = run.check(store, device, items, (), job.left())
        run.keep(store, outcome.verdicts)
        found = {str(verdict.item): verdict.found for verdict in outcome.verdicts}
        found |= {str(item): f"not tried: {why}" for item, why in outcome.unresolved.items()}
        bad = [str(verdict.item) for verdict in outcome.verdicts if not verdict.good] + list(outcome.unresolved)
        for name in map(str, bad):
            job.fail(f"{name}: {found[name]}")
    job.fact("self-tests", found)
