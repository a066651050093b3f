import gzip
import json

import numpy as np
import pytest

from data.corpora import write_corpus
from midi_llm.data.attribution import attribution_markdown
from midi_llm.data.corpus import Corpus
from midi_llm.data.rows import NANO_PROMPT, RowBuilder, RowSpec, build_rows, read_rows, sample_captions
from midi_llm.data.text import train_text_tokenizer
from midi_llm.errors import DatasetError
from midi_llm.tokens.codec import decode
from midi_llm.tokens.vocab import AUTOREGRESS, SEPARATOR

WEIGHTS = {"bandgen": 0.5, "mutopia": 0.5}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def tokenizer():
    return train_text_tokenizer(["a calm rock piece with piano and drums"] * 3, size=300)


def spec(**changes):
    return RowSpec(**{"rows": 6, "length": 192, "seed": 5, "weights": WEIGHTS, **changes})


def test_the_corpus_leaves_out_gpl_pieces_and_splits_by_name(corpus):
    pieces = Corpus(corpus).pieces
    assert {p.source for p in pieces} == {"bandgen", "mutopia"}
    assert [p.id for p in Corpus(corpus).split("valid")] == ["piece_1", "piece_6"]
    with pytest.raises(DatasetError, match="allowed are train, valid, test"):
        Corpus(corpus).split("dev")


def test_a_folder_without_its_files_is_one_clear_error(tmp_path):
    with pytest.raises(DatasetError, match=r"corpus\.zip is missing"):
        Corpus(tmp_path)
    (tmp_path / "corpus.zip").write_bytes(b"no zip")
    with gzip.open(tmp_path / "manifest.jsonl.gz", "wt") as manifest:
        manifest.write('{"id": 1}\n')
    with pytest.raises(DatasetError, match="not a zip"):
        Corpus(tmp_path)


def test_rows_are_a_prompt_then_strictly_decodable_music(corpus, tokenizer):
    builder = RowBuilder(corpus, tokenizer, NANO_PROMPT, spec())
    for index in range(12):
        ids, start, source = builder.row(index)
        assert len(ids) <= 192
        assert ids[0] == 0
        assert ids[start - 1] == AUTOREGRESS + 300
        music = np.array(ids[start:]) - 300
        assert source in WEIGHTS
        assert len(decode(music)) == (len(music) - int(music[-1] == SEPARATOR)) // 3 > 20
        assert tokenizer.decode(ids[: start - 1])


def test_some_rows_close_with_a_separator(corpus, tokenizer):
    builder = RowBuilder(corpus, tokenizer, NANO_PROMPT, spec())
    closed = [builder.row(i)[0][-1] == SEPARATOR + 300 for i in range(40)]
    assert 2 < sum(closed) < 30


def test_built_rows_do_not_depend_on_the_number_of_workers_and_round_trip(corpus, tokenizer, tmp_path):
    make = lambda name, workers: build_rows(  # noqa: E731 - one line reads best here
        corpus, tmp_path / name, tokenizer=tokenizer, prompt_format=NANO_PROMPT, spec=spec(), workers=workers
    )
    one, two = make("one", 1), make("two", 2)
    assert one.info["sha256"] == two.info["sha256"]
    np.testing.assert_array_equal(read_rows(tmp_path / "one").rows, two.rows)
    assert one.rows.dtype == np.uint16
    with pytest.raises(DatasetError, match="exists already"):
        make("one", 1)


def test_rows_of_another_version_or_half_written_are_refused(corpus, tokenizer, tmp_path):
    with pytest.raises(DatasetError, match="not a row set"):
        read_rows(tmp_path)
    build_rows(corpus, tmp_path / "r", tokenizer=tokenizer, prompt_format=NANO_PROMPT, spec=spec(rows=2), workers=1)
    info = json.loads((tmp_path / "r/rows.json").read_text())
    (tmp_path / "r/rows.json").write_text(json.dumps(info | {"format_version": 99}))
    with pytest.raises(DatasetError, match="format 99"):
        read_rows(tmp_path / "r")


def test_a_specification_out_of_range_says_what_is_allowed():
    with pytest.raises(DatasetError, match="length >= 128"):
        spec(length=10)


def test_captions_for_the_tokenizer_come_from_the_corpus_and_any_text_can_be_encoded(corpus):
    texts = sample_captions(corpus, count=30, seed=1, weights=WEIGHTS)
    assert len(texts) == 30
    assert any("piano" in t.lower() for t in texts)
    tokenizer = train_text_tokenizer(texts, size=400)
    assert tokenizer.get_vocab_size() == 400
    text = "Ω 音楽 🎹 a calm piece"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_every_attribution_of_the_pieces_trained_on_is_listed_once(corpus):
    text = attribution_markdown(Corpus(corpus), {"bandgen": 1.0})
    trained = [p for p in Corpus(corpus).split("train") if p.source == "bandgen"]
    assert f"## bandgen: {len(trained)} pieces" in text
    for piece in trained:
        assert text.count(f"- CC0-1.0: {' '.join(piece.meta['attribution'].split())} (1)") == 1
    assert "mutopia" not in text
