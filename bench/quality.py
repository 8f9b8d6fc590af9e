"""The README's table of picture quality, from what `lmf-kernels eval DIR --scale 2 3 4 --json FILE` wrote.

One file a test set under `bench/results/quality/`, named after it. The pictures themselves are not ours to distribute.
"""

import json
import pathlib

from formats import table

FOLDER = pathlib.Path(__file__).resolve().parent / "results" / "quality"


def quality(run):
    """PSNR (dB) and SSIM of bicubic and of the model that ships, by test set and scale. run: unused, as every table."""
    stored = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
    if not stored:
        return "\n"
    rows = [_row(name, mean) for name, result in stored.items() for mean in result["means"]]
    facts = next(iter(stored.values()))
    heads = ["test set", "scale", "bicubic, dB (SSIM)", "model, dB (SSIM)", "gain, dB"]
    return table(heads, rows) + f"\n<sub>Model {facts['model']}; {facts['recipe']}.</sub>\n"


def _row(name, mean):
    bicubic, model = mean["bicubic"], mean["model"]
    return [name, f"x{mean['scale']:g}", *(f"{who['psnr']:.2f} ({who['ssim']:.4f})" for who in (bicubic, model)),
            f"{model['psnr'] - bicubic['psnr']:+.2f}"]
