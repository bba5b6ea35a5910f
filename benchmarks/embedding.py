"""Pictures and captions embedded per second, against a plain loop over the Hugging Face processor.

The loop reads a batch of pictures, calls the image processor, calls the model; for captions the
tokenizer, padded to the model's length, and the model. Batches, threads and weights are ours.
Two encoders with random weights, since speed does not depend on them: the demo's, on its scenes
and on one thread as the demo's jobs are, and CLIP ViT-B/32, on JPEG files of 640 x 480 pixels;
captions are the scenes' in both cases. Each takes its turn, and of several rounds the fastest
counts. Without workers pictures go the loop's way, so that such a row says what our bookkeeping
costs, and for ViT-B/32 what its linear layers save by oneDNN (MKL has them in the loop): much on
AMD's processors, unknown on others. Workers are for models that outrun the decoding, as on a GPU:
the demo's encoder on the JPEG files stands for one, without a bound, as workers, model and loop
share the cores here. Their start is left out: with many pictures it is nothing.

Ends with an error where a ratio misses its bound or a vector is not the loop's.

    python benchmarks/embedding.py
"""

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import numpy as np
import torch
import transformers
from bounds import Bound, settle
from PIL import Image
from torch.nn.functional import normalize

from isoenergy.data.scenes import SceneSet, write_scenes
from isoenergy.data.shards import locate_pictures, read_pictures, write_shard
from isoenergy.embed.encoder import DualEncoder, EncoderSpec
from isoenergy.embed.encoders import load_encoder
from isoenergy.embed.pictures import CHUNK, Batches, PictureChunks, read_chunks
from isoenergy.embed.pretrain import build_image_processor, build_model, build_tokenizer
from isoenergy.embed.texts import embed_texts
from isoenergy.files import read_parquet

BATCH = 32
LOWEST_COSINE = 0.99999
DEMO, LARGE = "the demo's", "ViT-B/32"


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes
    ----------
    encoder : str
    threads : int
        Of the process that runs the model.
    what : {"scenes", "photographs", "captions"}
    workers : int
    rows : int
        Pictures or captions of a round.
    rounds : int
    ratio : float or None
        The least allowed, if any.
    """

    encoder: str
    threads: int
    what: str
    workers: int
    rows: int
    rounds: int
    ratio: float | None


CASES = (
    Case(DEMO, 1, "scenes", 0, 2000, 3, 0.85),
    Case(DEMO, 1, "captions", 0, 2000, 3, 0.9),
    Case(DEMO, 1, "photographs", 2, 1024, 2, None),
    Case(LARGE, 2, "photographs", 0, 128, 2, 0.85),
    Case(LARGE, 2, "captions", 0, 256, 2, 2.0),
)


def save_demo(folder: Path, captions: list[str], side: int) -> EncoderSpec:
    """The demo's smaller encoder, untrained."""
    tokenizer = build_tokenizer(captions, 24)
    model = build_model("clip", len(tokenizer), side, 96, 24, 0)
    for part in (model, tokenizer, build_image_processor("clip", side)):
        part.save_pretrained(folder)
    return EncoderSpec(DEMO, "clip", str(folder), None, 96, 24, False)


def save_large(folder: Path, captions: list[str]) -> EncoderSpec:
    """CLIP ViT-B/32, untrained, with a tokenizer of whole words."""
    tokenizer = build_tokenizer(captions, 77)
    tokens = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
    torch.manual_seed(0)
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=tokens))
    for part in (model, tokenizer, transformers.CLIPImageProcessorPil()):
        part.save_pretrained(folder)
    return EncoderSpec(LARGE, "clip", str(folder), None, 512, 77, False)


def write_photographs(folder: Path, count: int) -> None:
    """JPEG files about as hard to decode as photographs: smooth, with grain."""
    rng = np.random.default_rng(0)

    def photograph() -> bytes:
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC), dtype=np.float32)
        grainy = np.clip(pixels + 8 * rng.standard_normal(pixels.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(grainy).save(buffer, "JPEG", quality=90)
        return buffer.getvalue()

    write_shard(folder / "0.tar", ((f"{i:05d}", photograph()) for i in range(count)), ".jpg")


def loop_pictures(
    encoder: DualEncoder, model: torch.nn.Module, contents: list[bytes]
) -> np.ndarray:
    """The plain loop."""
    processor, vectors = encoder.preprocess.image_processor, []
    with torch.no_grad():
        for start in range(0, len(contents), BATCH):
            batch = contents[start : start + BATCH]
            pictures = [Image.open(io.BytesIO(content)).convert("RGB") for content in batch]
            pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
            features = model.get_image_features(pixel_values=pixels).pooler_output
            vectors.append(normalize(features, dim=1).numpy())
    return np.concatenate(vectors)


def loop_texts(encoder: DualEncoder, model: torch.nn.Module, texts: list[str]) -> np.ndarray:
    """The plain loop."""
    vectors = []
    options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    with torch.no_grad():
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            tokens = encoder.tokenizer(batch, max_length=encoder.spec.text_length, **options)
            given = {name: tokens[name] for name in encoder.text_inputs}
            features = model.get_text_features(**given).pooler_output
            vectors.append(normalize(features, dim=1).numpy())
    return np.concatenate(vectors)


def timed(function: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Seconds that it took, and what it made."""
    start = time.perf_counter()
    made = function()
    return time.perf_counter() - start, made


def our_pictures(encoder: DualEncoder, images: Path, case: Case) -> tuple[float, np.ndarray]:
    """As a job embeds them; with workers timed once each has handed over two chunks.

    Two more of each may be ready by then, which do not count.
    """
    places = locate_pictures(images).head(case.rows)
    spans = [(start, min(start + CHUNK, len(places))) for start in range(0, len(places), CHUNK)]
    chunks = PictureChunks(images, places, spans, encoder.preprocess)
    batches = Batches(encoder, BATCH)
    reader = read_chunks(chunks, case.workers, 2 * BATCH)
    for _ in range(2 * case.workers):
        batches.add(next(reader).pixels)
    start, counted = time.perf_counter(), len(places) - 4 * case.workers * CHUNK
    for chunk in reader:
        batches.add(chunk.pixels)
    vectors = batches.finish()
    return (time.perf_counter() - start) * len(places) / counted, vectors


def run(
    case: Case, encoder: DualEncoder, model: torch.nn.Module, folder: Path, captions: list[str]
) -> list[Bound]:
    """Print the row of a case; returns what it must not miss."""
    torch.set_num_threads(case.threads)
    if case.what != "captions":
        contents = [content for _, content in read_pictures(folder / case.what)][: case.rows]
        rows = len(contents)

        def ours() -> tuple[float, np.ndarray]:
            return our_pictures(encoder, folder / case.what, case)

        def theirs() -> np.ndarray:
            return loop_pictures(encoder, model, contents)
    else:
        texts = captions[: case.rows]
        rows = len(texts)

        def ours() -> tuple[float, np.ndarray]:
            return timed(lambda: embed_texts(encoder, texts, BATCH, "captions", short=True))

        def theirs() -> np.ndarray:
            return loop_texts(encoder, model, texts)

    seconds, their_seconds = [], []
    for _ in range(case.rounds):
        took, vectors = ours()
        seconds.append(took)
        took, their_vectors = timed(theirs)
        their_seconds.append(took)
    # The least of each is what the rest of the machine disturbed least.
    pace, their_pace = rows / min(seconds), rows / min(their_seconds)
    ratio = pace / their_pace
    least = "–" if case.ratio is None else f"{case.ratio:g}"
    cosine = float((vectors * their_vectors).sum(axis=1).min())
    print(
        f"| {case.encoder} | {rows:,} {case.what} | {case.threads} | {case.workers} | {pace:.1f} | "
        f"{their_pace:.1f} | {ratio:.2f} | {least} | {cosine:.7f} |",
        flush=True,
    )
    name = f"{case.what}, {case.encoder} encoder, {case.workers} workers"
    bounds = [Bound(f"lowest cosine to the loop's, {name}", cosine, LOWEST_COSINE, at_least=True)]
    if case.ratio is not None:
        what = f"times faster than the loop, {name}"
        bounds.insert(0, Bound(what, ratio, case.ratio, at_least=True))
    return bounds


def main() -> None:
    """Print a markdown table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoders", nargs="*", default=[DEMO, LARGE], choices=[DEMO, LARGE])
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scenes = SceneSet("scenes", "pairs", 0.25, "plain", captions=1)
        rows = max(case.rows for case in CASES)
        write_scenes(scenes, rows, 0, folder / "pairs.parquet", folder / "scenes")
        write_photographs(folder / "photographs", 1024)
        # Each caption once, so that none is saved here that the loop embeds twice.
        captions = list(dict.fromkeys(read_parquet(folder / "pairs.parquet")["caption"]))
        side = Image.open(io.BytesIO(next(read_pictures(folder / "scenes"))[1])).width
        print(f"batches of {BATCH}; ours | the loop, rows a second")
        print(
            "| encoder | rows | threads | workers | ours | loop | ratio | at least | "
            "lowest cosine |"
        )
        print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
        bounds = []
        for name in arguments.encoders:
            save = save_large if name == LARGE else lambda f, c: save_demo(f, c, side)
            encoder = load_encoder(save(folder / "checkpoint", captions))
            # As the library loads it; an encoder's own one has other linear layers.
            model = transformers.CLIPModel.from_pretrained(folder / "checkpoint").eval()
            for case in (case for case in CASES if case.encoder == name):
                bounds += run(case, encoder, model, folder, captions)
    settle(bounds)


if __name__ == "__main__":
    main()
