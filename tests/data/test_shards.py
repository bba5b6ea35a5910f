import io
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from isoenergy.data.shards import (
    decode_picture,
    encode_png,
    list_shards,
    locate_pictures,
    read_pictures,
    write_shard,
)
from isoenergy.errors import InputError

sides = st.integers(2, 9)


@given(
    st.tuples(sides, sides, st.just(3)).flatmap(
        lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 255))
    )
)
def test_a_picture_comes_back_without_loss(pixels):
    np.testing.assert_array_equal(np.asarray(decode_picture(encode_png(pixels))), pixels)


def picture(seed):
    return encode_png(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8))


@pytest.fixture
def shards(tmp_path):
    pictures = [(f"{i:03d}", picture(i)) for i in range(5)]
    write_shard(tmp_path / "00000.tar", pictures[:3], ".png")
    write_shard(tmp_path / "00001.tar", pictures[3:], ".png")
    return tmp_path, pictures


def test_pictures_come_back_in_the_order_of_the_shards(shards):
    folder, pictures = shards
    assert list(read_pictures(folder)) == pictures


def test_named_pictures_alone_are_read_and_nothing_behind_the_last_of_them(shards):
    folder, pictures = shards
    assert list(read_pictures(folder, ["003", "001", "gone"])) == [pictures[1], pictures[3]]
    assert list(read_pictures(folder, [])) == []
    (folder / "00001.tar").write_bytes(b"never read")
    assert list(read_pictures(folder, ["002", "000"])) == [pictures[0], pictures[2]]
    with pytest.raises(InputError, match=r"00001\.tar is broken"):
        list(read_pictures(folder, ["002", "gone"]))


def test_equal_pictures_give_equal_bytes(shards):
    folder, pictures = shards
    write_shard(folder / "again", pictures[:3], ".png")
    assert (folder / "again").read_bytes() == (folder / "00000.tar").read_bytes()


def test_members_that_are_no_pictures_are_passed_over(tmp_path):
    content = picture(0)
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name in ("a.txt", "a.json", "b.JPG", "./._b.JPG", "deep/c.webp", "d"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        folder = tarfile.TarInfo("e.png")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    (tmp_path / "._0.tar").write_bytes(b"x")
    assert list(read_pictures(tmp_path)) == [("b", content), ("c", content)]


def test_a_shard_that_is_cut_anywhere_is_refused(shards):
    folder, _ = shards
    path = folder / "00001.tar"
    content = path.read_bytes()
    with tarfile.open(path) as tar:
        end = max(member.offset_data + member.size for member in tar)
    for length in range(0, end + 512, 37):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"00001\.tar is broken .*; delete .* and run again"):
            list(read_pictures(folder))


def test_a_shard_that_is_spoilt_in_a_header_is_refused(shards):
    folder, _ = shards
    path = folder / "00000.tar"
    with tarfile.open(path) as tar:
        second = tar.getmembers()[1].offset
    content = bytearray(path.read_bytes())
    content[second : second + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"00000\.tar is broken"):
        list(read_pictures(folder))


def test_a_file_that_is_no_tar_is_refused(tmp_path):
    (tmp_path / "0.tar").write_text("<html>404 not found</html>" * 100)
    with pytest.raises(InputError, match=r"0\.tar is broken"):
        list(read_pictures(tmp_path))


def test_a_folder_without_shards_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no picture shards"):
        list_shards(tmp_path)


def saved(image, form="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, format=form)
    return buffer.getvalue()


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    header = saved(Image.new("1", (9000, 9000)))[:60]  # no pixels are there to decode
    with pytest.raises(
        InputError, match=r"picture has too many pixels \(9000 x 9000, over 64000000\)"
    ):
        decode_picture(header)


def test_pillows_own_limit_ends_in_the_same_error():
    header = bytearray(saved(Image.new("1", (9, 9))))
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(InputError, match="cannot be decoded"):
        decode_picture(bytes(header))


@pytest.mark.parametrize("size", [(1, 50), (50, 1), (1, 1)])
def test_a_picture_with_a_side_of_one_pixel_is_refused(size):
    with pytest.raises(InputError, match=rf"side of one pixel \({size[0]} x {size[1]}\)"):
        decode_picture(saved(Image.new("RGB", size)))


def test_the_smallest_picture_is_read():
    assert decode_picture(saved(Image.new("RGB", (2, 2)))).size == (2, 2)


@pytest.mark.parametrize("spoil", [lambda c: b"", lambda c: b"GIF", lambda c: c[: len(c) // 2]])
def test_bytes_that_are_no_picture_are_refused(spoil):
    content = saved(Image.effect_noise((64, 64), 50).convert("RGB"), "JPEG")
    with pytest.raises(InputError, match=r"picture cannot be decoded \(\w+\)"):
        decode_picture(spoil(content))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_every_kind_of_picture_becomes_rgb(mode):
    form = "TIFF" if mode == "CMYK" else "PNG"
    decoded = decode_picture(saved(Image.new("RGB", (3, 2), "white").convert(mode), form))
    assert decoded.mode == "RGB"
    assert (np.asarray(decoded) == 255).all()


def test_pictures_are_where_they_are_said_to_lie(tmp_path):
    pictures = [(f"{i:03d}", bytes([i]) * (i * 700)) for i in range(9)]
    write_shard(tmp_path / "1.tar", pictures[5:], ".png")
    write_shard(tmp_path / "0.tar", [*pictures[:5], ("note.txt", b"no picture")], ".jpg")
    with tarfile.open(tmp_path / "0.tar", "a") as tar:
        tar.addfile(tarfile.TarInfo("000.txt"))
    places = locate_pictures(tmp_path)
    assert places["key"].tolist()[-4:] == [key for key, _ in pictures[5:]]
    found = {
        row.key: (tmp_path / row.shard).read_bytes()[row.offset : row.offset + row.size]
        for row in places.itertuples()
    }
    assert found == dict(read_pictures(tmp_path))
    assert found["008"] == pictures[8][1]


def test_two_pictures_of_one_key_are_refused(tmp_path):
    for shard in ("0.tar", "1.tar"):
        write_shard(tmp_path / shard, [("007", b"x")], ".png")
    with pytest.raises(InputError, match=r"holds two pictures with the key 007; delete .* and run"):
        locate_pictures(tmp_path)
