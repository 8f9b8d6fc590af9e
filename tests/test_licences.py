"""What the package says of its licences: in its metadata, and beside the weights that ship."""

import json
from importlib import metadata
from pathlib import Path

import lmf_kernels
import pytest
from lmf_kernels import built_in

NOTICE = Path(lmf_kernels.__file__).parent / "weights" / "LICENSE"
SPDX = {"CC BY-SA 4.0": ("CC-BY-SA-4.0", "https://creativecommons.org/licenses/by-sa/4.0/")}


def test_the_metadata_name_the_licences_of_code_and_weights():
    about = metadata.metadata("lmf_kernels")
    licences = {SPDX[built_in.about(name).metadata["license"]][0] for name in built_in.names()}
    assert about["License-Expression"] == " AND ".join(["Apache-2.0", *sorted(licences)])
    assert set(about.get_all("License-File")) == {"LICENSE", "lmf_kernels/weights/LICENSE"}


@pytest.mark.parametrize("name", built_in.names())
def test_the_notice_attributes_the_training_data_of_each_model(name):
    notice, about = NOTICE.read_text(), built_in.about(name).metadata
    title, address = about["license"], SPDX[about["license"]][1]
    assert f"({title})" in notice and address in notice
    data = json.loads(about["training_data"])
    assert f"{name}, by the lmf_kernels authors, was trained on {data['pictures']} photographs" in notice
    lines = [line.split(maxsplit=3) for line in notice.splitlines()]
    for source in data["sources"]:
        assert [source["series"], str(source["pictures"]), "pictures", source["licence"]] in lines
