"""What every test needs: the library on the path, one thread, no network, small encoders."""

import importlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
# The same examples every time, however slow the machine.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

CAPTIONS = (
    "a photo of a red circle",
    "there is a large striped blue star at the top left and the background is navy",
    "we see a green heart , stock photo",
)


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def fetcher(root):
    """Python of the environment that `make download-env` makes, or of ISOENERGY_IMG2DATASET."""
    told = os.environ.get("ISOENERGY_IMG2DATASET", root / ".venv-download/bin/python")
    if not Path(told).exists():
        pytest.skip("img2dataset is not installed here; `make test-download` does that")
    return str(told)


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory):
    """Untrained checkpoints by family, as specs that ``load_encoder`` takes."""
    from isoenergy.embed.encoder import EncoderSpec
    from isoenergy.embed.pretrain import build_image_processor, build_model, build_tokenizer

    specs = {}
    for family, dim in (("clip", 32), ("siglip", 96)):
        folder = tmp_path_factory.mktemp("checkpoint") / family
        tokenizer = build_tokenizer(CAPTIONS, 16)
        model = build_model(family, len(tokenizer), 48, dim, 16, seed=1)
        for part in (model, tokenizer, build_image_processor(family, 48)):
            part.save_pretrained(folder)
        specs[family] = EncoderSpec(f"Tiny-{family}", family, str(folder), None, dim, 16, False)
    return specs


@pytest.fixture(scope="session")
def overcomplete():
    """The library that the authors used, without the vision models that its top level imports."""
    if "overcomplete" not in sys.modules:
        found = find_spec("overcomplete")
        assert found, "overcomplete is missing; `make env` installs it (extra `test`)"
        package = ModuleType("overcomplete")
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["overcomplete"] = package
    before = set(sys.modules)
    for name in ("sae", "metrics"):
        importlib.import_module(f"overcomplete.{name}")
    assert not {"torchvision", "timm", "cv2", "skimage"} & (sys.modules.keys() - before)
    return sys.modules["overcomplete"]
