"""Folders of images and of texts, a file a row, and files of a text a line."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pretrained
import pytest
import texts
from alike import assert_alike
from image_folders import SAMPLING, SIDE, grey, pixels, write_images, write_texts
from PIL import Image
from pyarrow import parquet
from repositories import Repository
from scored import score, scored
from servers import Serve

from service.data.files import Files
from service.data.images import Images
from service.errors import DataError
from service.repository.manifest import InputSpec
from service.scoring.workspace import Workspace

_OWN = {"row", "file", "input_label", "certified", "reasons", "label", "error"}
WORDS = ["a good film", "bad", "not very good", "NOT bad films"]


def answers(table: Any) -> dict[str, list[Any]]:
    """Numbers of an output, by their columns."""
    return {name: table.column(name).to_pylist() for name in table.column_names if name not in _OWN}


def from_the_server(serve: Serve, model: str, rows: Any) -> dict[str, list[Any]]:
    told = serve(factories="networks,texts").post(f"/v1/models/{model}/uncertainty", json={"inputs": rows})
    assert told.status_code == 200, told.text
    results = told.json()["results"]
    return {name: [row[name] for row in results] for name in results[0]}


def assert_the_servers(table: Any, served: dict[str, list[Any]]) -> None:
    found = answers(table)
    assert_alike(found, {name: served[name] for name in found})
    assert table.column("label").to_pylist() == served["label"]


def test_images_of_a_folder_are_scored_as_the_server_does(
    repository: Repository, serve: Serve, tmp_path: Path
) -> None:
    pretrained.save_image(repository.path / "vit" / "1")
    pretrained.write_manifest(repository.path / "vit" / "1", sampling=SAMPLING)
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    names = [f"{number}.png" for number in range(1, 13)]
    folder = write_images(tmp_path / "photos", dict(zip(names, images, strict=True)))
    table = scored(repository, folder, model="vit")
    assert table.column_names[:2] == ["row", "file"]
    assert table.column("file").to_pylist() == names  # 10.png is behind 9.png
    assert_the_servers(table, from_the_server(serve, "vit", images.transpose(0, 3, 1, 2).tolist()))


def test_a_folder_in_the_folder_is_read_too_and_is_the_label(
    repository: Repository, serve: Serve, tmp_path: Path
) -> None:
    grey(repository)
    images = pixels(5)
    names = ["a/2/x.BMP", "a/10.png", "a/10/x.png", "b/1.png", "b/02.tif"]
    folder = write_images(tmp_path / "photos", dict(zip(names, images, strict=True)))
    (folder / ".hidden.png").write_text("no image")
    (folder / "_notes").mkdir()
    table = scored(repository, folder)
    order = [names.index(name) for name in table.column("file").to_pylist()]
    assert [names[place] for place in order] == [
        "a/2/x.BMP", "a/10/x.png", "a/10.png", "b/1.png", "b/02.tif",
    ]  # fmt: skip
    assert table.column("input_label").to_pylist() == ["a", "a", "a", "b", "b"]
    assert_the_servers(table, from_the_server(serve, "small", images[order].tolist()))


def test_a_table_of_files_beside_folders_has_no_label(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "photos", {"a/1.png": pixels(1)[0], "2.png": pixels(1)[0]})
    assert Files(folder).names == ["file", "inputs"]


@pytest.mark.parametrize("form", ["a file of lines", "a folder"])
def test_texts_are_scored_as_the_server_does(
    repository: Repository, serve: Serve, tmp_path: Path, form: str
) -> None:
    texts.add(repository, sampling=SAMPLING)
    if form == "a folder":
        written = {f"{row}.txt": f"{text}\n" for row, text in enumerate(WORDS)}
        table = scored(repository, write_texts(tmp_path / "notes", written), model="films")
        assert table.column("file").to_pylist() == list(written)
    else:
        (tmp_path / "notes.txt").write_bytes("\ufeff".encode() + "\r\n".join(WORDS).encode())
        table = scored(repository, tmp_path / "notes.txt", model="films")
    assert_the_servers(table, from_the_server(serve, "films", WORDS))


def test_lines_are_read_from_wherever_and_an_empty_one_is_a_row(tmp_path: Path) -> None:
    lines = [f"line {row}" * (row % 3) for row in range(1000)]
    lines[0] = "the first"
    (tmp_path / "rows.txt").write_text("\n".join(lines) + "\n", "utf-8-sig")
    for start in (0, 256, 999, 1000):
        parts = list(Files(tmp_path / "rows.txt").parts(start, 256))
        assert [one for part in parts for one in part.columns["text"].tolist()] == lines[start:]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_line_that_is_too_long_is_not_cut_in_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: bytes
) -> None:
    monkeypatch.setattr("service.data.texts._LARGEST_BYTES", 20)
    (tmp_path / "rows.txt").write_bytes(mark + b"a" * 30 + b"\nb\n")
    with pytest.raises(DataError, match="row 0 has more than the 20 bytes that a text may have"):
        list(Files(tmp_path / "rows.txt").parts(0, 8))


GREY = InputSpec("image", "float32", (SIDE, SIDE))
COLOURS = InputSpec("image", "float32", (3, SIDE, SIDE))


@pytest.mark.parametrize(
    ("spec", "span", "expected"),
    [
        (GREY, (0, 255), lambda image: image),
        (GREY, (0, 1), lambda image: np.float32(image) / 255),
        (GREY, (255, 0), lambda image: 255.0 - image),
        (InputSpec("image", "int64", (1, SIDE, SIDE)), (0, 255), lambda image: image[None]),
        (InputSpec("image", "float64", (1, SIDE, SIDE)), (-1, 1), lambda image: image[None] / 127.5 - 1),
        (COLOURS, (0, 255), lambda image: np.stack([image] * 3)),
        (
            InputSpec("image", "float32", (4, SIDE, SIDE)),
            (0, 255),
            lambda image: np.stack([image] * 3 + [np.full_like(image, 255)]),
        ),
    ],
)
def test_pixels_are_what_the_model_takes(
    tmp_path: Path, spec: InputSpec, span: tuple[float, float], expected: Callable[[Any], Any]
) -> None:
    image = pixels(1)[0]
    folder = write_images(tmp_path, {"one.png": image})
    read = Images(span=span).read(spec, [folder / "one.png"])
    assert read.shape == (1, *spec.shape)
    np.testing.assert_allclose(read[0], expected(image), rtol=1e-6, atol=1e-6)


def test_an_image_is_read_as_people_see_it(tmp_path: Path) -> None:
    image = pixels(1, 3)[0, :4]
    turned = Image.Exif()
    turned[0x0112] = 6  # by a quarter
    folder = write_images(tmp_path, {"camera.png": image}, exif=turned)
    spec = InputSpec("image", "float32", (3, SIDE, 4))
    read = Images(span=(0, 255)).read(spec, [folder / "camera.png"])
    assert np.array_equal(read[0], np.rot90(image, -1).transpose(2, 0, 1))


def test_another_size_is_stretched_where_that_is_said(repository: Repository, tmp_path: Path) -> None:
    grey(repository)
    folder = write_images(
        tmp_path / "photos", {"1.png": np.full((40, 20), 9, np.uint8), "2.png": pixels(1)[0]}
    )
    output = tmp_path / "out.parquet"
    told = score(repository, folder, output)
    assert told.exit_code == 1
    assert (
        "1.png: input image: row 0 is an image of 20 × 40 pixels, width by height, and the model takes 6 × 6"
    ) in told.stderr
    assert score(repository, folder, output, "--resize").exit_code == 0
    plain = write_images(tmp_path / "plain", {"1.png": np.full((6, 6), 9, np.uint8), "2.png": pixels(1)[0]})
    assert answers(scored(repository, plain)) == answers(parquet.read_table(output))


def damaged(path: Path) -> Path:
    write_images(path, {"1.png": pixels(1)[0], "2.png": pixels(1, 3)[0]})
    (path / "2.png").write_bytes((path / "2.png").read_bytes()[:-30])
    return path


def linked(path: Path, target: str) -> Path:
    write_images(path, {"1.png": pixels(1)[0], "more/2.png": pixels(1)[0]})
    (path.parent / "outside.png").write_bytes((path / "1.png").read_bytes())
    (path / "3.png").symlink_to(target)
    return path


def not_text(path: Path) -> Path:
    write_images(path, {"1.png": pixels(1)[0]})
    os.rename(path / "1.png", os.fsencode(path) + b"/\xff.png")  # noqa: PTH104
    return path


def with_a_pipe(path: Path) -> Path:
    write_images(path, {"1.png": pixels(1)[0]})
    os.mkfifo(path / "2.png")
    return path


def deep(path: Path) -> Path:
    write_images(path, {"1.png": np.zeros((SIDE, SIDE), np.uint16)})
    return path


def moving(path: Path) -> Path:
    path.mkdir()
    first, second = (Image.fromarray(image) for image in pixels(2))
    first.save(path / "1.gif", save_all=True, append_images=[second])
    return path


FOLDERS: list[tuple[Callable[[Path], Path], str]] = [
    (lambda at: write_texts(at, {"_notes/x": ""}), "photos has no files of rows; they end in .npz"),
    (lambda at: damaged(at), "2.png: input image: row 1 cannot be read: "),
    (lambda at: write_texts(at, {"1.png": "no image"}), "1.png: input image: row 0 cannot be read: it is no"),
    (lambda at: write_texts(at, {"1.png": ""}), "1.png: input image: row 0 cannot be read: it is no image"),
    (lambda at: deep(at), "1.png: input image: row 0 cannot be read: its pixels have more than eight bits"),
    (lambda at: moving(at), "1.gif: input image: row 0 cannot be read: it has 2 pictures"),
    (
        lambda at: write_texts(write_images(at, {"a/1.png": pixels(1)[0]}), {"a/2.txt": "x"}),
        "photos has files of two kinds, a/1.png and a/2.txt; leave those of one",
    ),
    (lambda at: write_texts(at, {"1.txt": "x"}), "1.txt is a text, and the model takes numbers"),
    (lambda at: write_texts(at, {"a/1.csv": "f0\n1\n"}), "photos has its files of rows in folders, as a/"),
    (lambda at: linked(at, "../outside.png"), "3.png is a link that leaves the folder"),
    (lambda at: linked(at, "more"), "3.png is a link to a folder"),
    (lambda at: linked(at, "nowhere"), "3.png is a link that leads nowhere: No such file or directory"),
    (lambda at: linked(at, "3.png"), "3.png is a link that leads nowhere: Too many levels of"),
    (lambda at: not_text(at), "has a file whose name is not UTF-8, '\\udcff.png'; rename it"),
    (lambda at: with_a_pipe(at), "2.png is neither a file nor a folder"),
    (lambda at: write_images(at, {"1.png": pixels(1)[0]}) / "1.png", "images are read from a folder of them"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "words"), FOLDERS, ids=[words for _, words in FOLDERS])
def test_a_folder_that_is_none_is_refused_before_any_row_is_scored(
    repository: Repository, tmp_path: Path, write: Callable[[Path], Path], words: str
) -> None:
    grey(repository)
    output = tmp_path / "out.parquet"
    told = score(repository, write(tmp_path / "photos"), output)
    assert told.exit_code == 1, told.output
    assert words in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert not output.exists()
    assert not Workspace(output).path.exists()


def test_a_link_within_the_folder_is_a_file_as_any_other(repository: Repository, tmp_path: Path) -> None:
    grey(repository)
    folder = linked(tmp_path / "photos", "more/2.png")
    assert scored(repository, folder).column("file").to_pylist() == ["1.png", "3.png", "more/2.png"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"bad \xff film", "2.txt: row 1 is not UTF-8: invalid start byte at byte 4; correct it"),
        (b"\n", "2.txt: inputs text: row 1 has nothing that the tokenizer makes a token of; correct it"),
        (b" " * (2**24 + 1), "2.txt: row 1 has more than the 16777216 bytes that a text may have"),
    ],
)
def test_a_text_that_is_none_is_refused_with_its_file(
    repository: Repository, tmp_path: Path, content: bytes, words: str
) -> None:
    texts.add(repository, sampling=SAMPLING)
    folder = write_texts(tmp_path / "notes", {"1.txt": WORDS[0], "2.txt": content})
    told = score(repository, folder, tmp_path / "out.parquet", model="films")
    assert told.exit_code == 1
    assert words in told.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a film\nbad \xff film\n", "row 1 is not UTF-8: invalid start byte at byte 4"),
        (b"a film\n\nbad\n", "row 1 has nothing that the tokenizer makes a token of"),
        (b"a film\n" + b"x" * 2**24, "row 1 has more than the 16777216 bytes"),
        (b"", "rows.txt has no rows"),
    ],
)
def test_a_line_that_is_no_text_is_refused_with_its_row(
    repository: Repository, tmp_path: Path, content: bytes, words: str
) -> None:
    texts.add(repository, sampling=SAMPLING)
    (tmp_path / "rows.txt").write_bytes(content)
    told = score(repository, tmp_path / "rows.txt", tmp_path / "out.parquet", model="films")
    assert told.exit_code == 1
    assert words in told.stderr


def test_a_file_that_is_no_row_is_skipped_where_that_is_said(repository: Repository, tmp_path: Path) -> None:
    grey(repository)
    table = scored(repository, damaged(tmp_path / "photos"), "--skip-bad")
    assert table.column("file").to_pylist() == ["1.png", "2.png"]
    first, second = table.column("error").to_pylist()
    assert first is None
    assert second.startswith("input image: row 1 cannot be read: ")
    assert table.column("score").is_null().to_pylist() == [False, True]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"range": [-1, 1]}, "does not say what a pixel is to the model"),
        (
            {"shape": [36], "range": [0, 1]},
            "has shape [36], and images are read for [channels, height, width]",
        ),
        ({"shape": [2, 3, 6]}, "has shape [2, 3, 6], and images are read for"),
    ],
)
def test_a_model_that_takes_no_images_is_not_given_any(
    repository: Repository, tmp_path: Path, said: dict[str, Any], words: str
) -> None:
    grey(repository, **said)
    folder = write_images(tmp_path / "photos", {"1.png": pixels(1)[0]})
    told = score(repository, folder, tmp_path / "out.parquet", "--skip-bad")
    assert told.exit_code == 1
    assert words in told.stderr


def test_a_model_of_texts_is_given_no_images(repository: Repository, tmp_path: Path) -> None:
    texts.add(repository, sampling=SAMPLING)
    folder = write_images(tmp_path / "photos", {"1.png": pixels(1)[0]})
    told = score(repository, folder, tmp_path / "out.parquet", "--skip-bad", model="films")
    assert "1.png does not end in .txt, and the model takes texts" in told.stderr


def test_a_model_of_any_size_is_given_no_images(tmp_path: Path) -> None:
    folder = write_images(tmp_path, {"1.png": pixels(1)[0]})
    with pytest.raises(DataError, match=r"has shape \[1, -1, 6\], and images are read for"):
        Images(span=(0, 1)).read(InputSpec("image", "float32", (1, -1, 6)), [folder / "1.png"])
