import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from midi_llm.data.rewrite import (
    RewriteReport,
    RewriteSettings,
    rewrite,
    settings_from_environment,
    states_nothing_new,
)  # fmt: skip
from midi_llm.errors import DatasetError

TEXTS = ["a slow piano waltz in D minor, 70 bpm", "dense jazz trio, no drums", "rock, 120 bpm, 4/4"]


def reworded(text):
    return f"something like this: {text}"


@contextmanager
def server(answer):
    """Serves `answer(captions, number of this request)`: a list (sent as the model's words), raw bytes, or a status."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append((self.path, self.headers.get("Authorization"), body))
            made = answer(json.loads(body["messages"][1]["content"]), len(requests))
            status = made if isinstance(made, int) else 200
            words = json.dumps(made, ensure_ascii=False)
            data = (
                made if isinstance(made, bytes) else json.dumps({"choices": [{"message": {"content": words}}]}).encode()
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.handle_error = lambda *_: None  # a client that has stopped waiting is expected
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/v1", requests
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def settings(url, **changes):
    return RewriteSettings(base_url=url, model="m", **{"backoff_seconds": 0.0, "timeout_seconds": 5.0, **changes})


def test_captions_are_rewritten_in_batches_in_order_and_equal_ones_asked_for_once(tmp_path):
    with server(lambda texts, _: [reworded(text) for text in texts]) as (url, requests):
        texts, report = rewrite(
            [*TEXTS, TEXTS[0]], settings=settings(url, batch=2, api_key="k"), cache=tmp_path / "c.jsonl"
        )
    assert texts == [reworded(text) for text in [*TEXTS, TEXTS[0]]]
    assert report == RewriteReport(rewritten=4)
    assert len(requests) == 2
    assert {(path, key) for path, key, _ in requests} == {("/v1/chat/completions", "Bearer k")}


def test_a_second_build_asks_nothing_and_a_cut_off_cache_goes_on(tmp_path):
    cache = tmp_path / "c.jsonl"
    with server(lambda texts, _: [reworded(text) for text in texts]) as (url, requests):
        first, _ = rewrite(TEXTS, settings=settings(url), cache=cache)
        again, report = rewrite(TEXTS, settings=settings(url), cache=cache)
        assert (again, report, len(requests)) == (first, RewriteReport(cached=3), 1)
        cache.write_bytes(cache.read_bytes()[:-20])
        again, report = rewrite(TEXTS, settings=settings(url), cache=cache)
        assert (again, report, len(requests)) == (first, RewriteReport(cached=2, rewritten=1), 2)
        assert rewrite(TEXTS, settings=settings(url), cache=cache)[1] == RewriteReport(cached=3)
        rewrite(TEXTS, settings=RewriteSettings(base_url=url, model="other"), cache=cache)
        assert len(requests) == 3


def test_an_invented_tempo_is_refused_and_not_asked_for_again(tmp_path):
    with server(lambda texts, _: [f"{text} at 99 bpm" for text in texts]) as (url, requests):
        for _ in range(2):
            texts, report = rewrite(TEXTS, settings=settings(url), cache=tmp_path / "c.jsonl")
            assert (texts, report) == (TEXTS, RewriteReport(refused=3))
        assert len(requests) == 1


@pytest.mark.parametrize(
    "bad",
    [503, 429, b"not json", b'{"choices": []}', b"[]", b"\xff\xfe", ["one only"], {"no": "list"}, "[" * 50_000],
    ids=["503", "429", "text", "empty", "list", "bytes", "too few", "object", "nested"],
)
def test_garbage_and_errors_are_tried_again_and_then_counted(tmp_path, bad):
    with server(lambda texts, number: bad if number < 2 else [reworded(text) for text in texts]) as (url, _):
        assert rewrite(TEXTS, settings=settings(url, attempts=2), cache=tmp_path / "a")[1] == RewriteReport(rewritten=3)
    with server(lambda *_: bad) as (url, requests):
        assert rewrite(TEXTS, settings=settings(url, attempts=2), cache=tmp_path / "b") == (
            TEXTS,
            RewriteReport(failed=3),
        )
        assert len(requests) == 2


def test_a_refusal_of_the_server_is_not_repeated(tmp_path):
    with server(lambda *_: 401) as (url, requests):
        assert rewrite(TEXTS, settings=settings(url), cache=tmp_path / "c")[1] == RewriteReport(failed=3)
        assert len(requests) == 1


def test_an_entry_that_is_no_text_is_refused(tmp_path):
    with server(lambda texts, _: [None, 7, reworded(texts[2])]) as (url, _):
        texts, report = rewrite(TEXTS, settings=settings(url), cache=tmp_path / "c")
    assert texts == [*TEXTS[:2], reworded(TEXTS[2])]
    assert report == RewriteReport(rewritten=1, refused=2)


def test_a_slow_server_and_one_that_is_not_there_leave_the_captions_as_they_were(tmp_path):
    def slow(texts, _):
        time.sleep(0.4)
        return texts

    with server(slow) as (url, _):
        quick = settings(url, timeout_seconds=0.1, attempts=2)
        assert rewrite(TEXTS, settings=quick, cache=tmp_path / "c") == (TEXTS, RewriteReport(failed=3))
    assert rewrite(TEXTS, settings=settings(url, attempts=1), cache=tmp_path / "c")[1] == RewriteReport(failed=3)


def test_a_file_that_is_no_cache_is_an_error(tmp_path):
    for content in ('{"format": "midi-llm rewrites", "version": 2}\n', "hello\n", "[]\n", '{"format": 1}\n{}\n'):
        (tmp_path / "c").write_text(content)
        with pytest.raises(DatasetError, match="no cache of rewrites"):
            rewrite(TEXTS, settings=settings("http://localhost:1"), cache=tmp_path / "c")


@pytest.mark.parametrize(
    ("rewritten", "holds"),
    [("In D minor, a piano waltz, slow, at 70 bpm", True), ("a 70 bpm d minor piano waltz", True),
     ("a slow piano waltz in D minor", False), ("a slow piano waltz in E minor, 70 bpm", False),
     ("a slow piano waltz in D minor, 71 bpm", False), ("a fast piano waltz in D minor, 70 bpm", False),
     ("a slow piano and violin waltz in D minor, 70 bpm", False), ("a slow solo piano waltz in D minor, 70 bpm", False),
     ("a slow piano waltz in D minor, 3/4, 70 bpm", False), ("a slow piano waltz in D minor, 70 bpm, G C", False),
     ("a slow piano waltz in D minor, 70 bpm, no strings", False), ("", False), ("two\nlines 70 bpm D minor", False)],
)  # fmt: skip
def test_a_rewrite_states_nothing_new(rewritten, holds):
    assert states_nothing_new(TEXTS[0], rewritten) is holds


def test_a_negation_is_kept():
    assert states_nothing_new("jazz, no drums", "jazz without drums")
    assert not states_nothing_new("jazz, no drums", "jazz with drums")


def test_nothing_is_asked_unless_the_environment_names_an_address():
    assert settings_from_environment({}) is None
    found = settings_from_environment(
        {"MIDI_LLM_REWRITE_URL": "http://h/v1", "MIDI_LLM_REWRITE_MODEL": "m", "MIDI_LLM_REWRITE_KEY": "s"}
    )
    assert found is not None
    assert (found.base_url, found.model, found.api_key) == ("http://h/v1", "m", "s")
    assert "'s'" not in repr(found)
    with pytest.raises(DatasetError, match="name of a model"):
        settings_from_environment({"MIDI_LLM_REWRITE_URL": "http://h/v1"})
    with pytest.raises(DatasetError, match="http://"):
        RewriteSettings(base_url="file:///etc", model="m")
    with pytest.raises(DatasetError, match="positive"):
        RewriteSettings(base_url="http://h", model="m", timeout_seconds=0)
