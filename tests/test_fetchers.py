import gzip
import hashlib
import http.server
import json
import socket
import struct
import threading
from collections import Counter
from functools import partial

import numpy as np
import pytest

from sklearn_codex.datasets import _download, _fetchers, fetch_hh_rlhf, fetch_pandalm

START = "\n\nHuman: Hi\n\nAssistant:"
PANDALM_ROWS = [
    {
        "cmp_key": "opt-7b_llama-7b",
        "instruction": "Add.",
        "input": "1 + 1",
        "response1": True,
        "response2": "2",
        "annotator1": 2,
        "annotator2": 2,
        "annotator3": 0,
    },
    {
        "cmp_key": "llama-7b_opt-7b",
        "instruction": "Greet.",
        "input": "",
        "response1": "Hi",
        "response2": "",
        "annotator1": 0,
        "annotator2": 1,
        "annotator3": 2,
    },
]


def hh_part(name, n):
    rows = [{"chosen": f"{START} {name}{i}", "rejected": f"{START} no"} for i in range(n)]
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0)


class Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, remote, *args):
        self.remote = remote
        super().__init__(*args)

    def do_GET(self):
        self.remote.asked[self.path] += 1
        content = self.remote.files.get(self.path)
        if self.remote.n_failures > 0:
            self.remote.n_failures -= 1
            self.send_error(self.remote.status)
        elif content is None:
            self.send_error(404)
        else:
            self.send_response(200)
            if self.remote.fault != "chunks":
                self.send_header("Content-Length", str(len(content)))
            else:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            getattr(self, f"send_{self.remote.fault}")(content)

    def send_nothing_wrong(self, content):
        self.wfile.write(content)

    def send_half(self, content):
        self.wfile.write(content[: len(content) // 2])

    def send_chunks(self, content):
        self.wfile.write(b"%x\r\n" % len(content) + content[: len(content) // 2])

    def send_reset(self, content):
        self.send_half(content)
        # A socket that is closed so is reset.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()

    def send_stall(self, content):
        self.send_half(content)
        self.wfile.flush()
        self.remote.released.wait(20)

    def log_message(self, *args):
        pass


class Remote:
    """A host with a few files, which fails on demand."""

    def __init__(self):
        self.files = {}
        self.asked = Counter()
        self.n_failures = 0
        self.status = 503
        self.fault = "nothing_wrong"
        self.released = threading.Event()


@pytest.fixture
def remote(monkeypatch):
    remote = Remote()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, remote))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(_fetchers, "HH_RLHF_URL", url)
    monkeypatch.setattr(_fetchers, "PANDALM_URL", url)
    checksums = {}
    for i, (name, side) in enumerate(_fetchers.HH_RLHF_SHA256):
        content = remote.files[f"/{name}/{side}.jsonl.gz"] = hh_part(f"{name}-{side}", i + 1)
        checksums[name, side] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(_fetchers, "HH_RLHF_SHA256", checksums)
    content = remote.files["/data/testset-v1.json"] = json.dumps(PANDALM_ROWS).encode()
    monkeypatch.setattr(_fetchers, "PANDALM_SHA256", hashlib.sha256(content).hexdigest())
    yield remote
    remote.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_fetch_hh_rlhf(remote, tmp_path):
    data = fetch_hh_rlhf("harmless-base", split="test", data_home=tmp_path)
    assert data.X.tolist() == [["Hi", "harmless-base-test0", "no"]]
    assert data.y.tolist() == [1.0]
    assert "MIT license" in data.DESCR
    assert files_in(tmp_path) == ["harmless-base-test.jsonl.gz"]


def test_fetch_hh_rlhf_in_parts(remote, tmp_path):
    names = ["helpful-online", "helpful-base"]
    data = fetch_hh_rlhf(names, split="all", data_home=tmp_path)
    expected = [
        (name, side)
        for name in names
        for side in ("train", "test")
        for _ in range(list(_fetchers.HH_RLHF_SHA256).index((name, side)) + 1)
    ]
    assert list(zip(data.subset, data.split, strict=True)) == expected
    np.testing.assert_array_equal(data.y, np.arange(len(expected)) % 2 == 0)
    assert set(data.groups) == {0}


def test_fetch_pandalm(remote, tmp_path):
    data = fetch_pandalm(data_home=str(tmp_path))
    assert data.X.tolist() == [["Add.\n\n1 + 1", "true", "2"], ["Greet.", "Hi", ""]]
    assert data.y.tolist() == [0.0, 0.5]
    assert data.annotators.tolist() == [[0, 0, 0.5], [0.5, 1, 0]]
    assert data.models.tolist() == [["opt-7b", "llama-7b"], ["llama-7b", "opt-7b"]]
    assert data.groups.tolist() == [0, 1]


def test_cache_is_used(remote, tmp_path):
    first = fetch_pandalm(data_home=tmp_path)
    again = fetch_pandalm(data_home=tmp_path, download_if_missing=False)
    assert again.X.tolist() == first.X.tolist()
    fetch_pandalm(data_home=tmp_path)
    assert remote.asked["/data/testset-v1.json"] == 1


def test_cache_is_that_of_scikit_learn(remote, tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    fetch_pandalm()
    assert files_in(tmp_path) == ["testset-v1.json"]


def test_missing_and_not_to_be_downloaded(remote, tmp_path):
    with pytest.raises(
        OSError, match=r"testset-v1.json is missing, and download_if_missing is False"
    ):
        fetch_pandalm(data_home=tmp_path, download_if_missing=False)
    assert not remote.asked


def test_damaged_cache(remote, tmp_path):
    fetch_pandalm(data_home=tmp_path)
    path = tmp_path / "pandalm" / "testset-v1.json"
    path.write_text("[]")
    with pytest.raises(OSError, match="has not the SHA-256 of what was published"):
        fetch_pandalm(data_home=tmp_path, download_if_missing=False)
    with pytest.warns(UserWarning, match="SHA256 checksum of existing local file .* differs"):
        assert len(fetch_pandalm(data_home=tmp_path).X) == 2


def test_damaged_download_is_not_kept(remote, tmp_path):
    remote.files["/data/testset-v1.json"] += b" "
    with pytest.raises(
        OSError, match=r"(?s)Could not get http.*SHA256 checksum.*Nothing of it was"
    ):
        fetch_pandalm(data_home=tmp_path)
    assert files_in(tmp_path) == []


FAULTS = {
    "half": "retrieval incomplete: got only",
    "chunks": "IncompleteRead",
    "reset": "reset by peer",
    "stall": "timed out",
}


@pytest.mark.filterwarnings("ignore:Retry downloading")
@pytest.mark.parametrize("fault", FAULTS)
def test_connection_that_breaks_is_not_kept(fault, remote, tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "TIMEOUT", 0.2)
    remote.fault = fault
    with pytest.raises(OSError, match=f"(?s)Could not get http.*{FAULTS[fault]}.*Nothing of it"):
        fetch_pandalm(data_home=tmp_path, n_retries=1, delay=0)
    assert remote.asked["/data/testset-v1.json"] == 2
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.filterwarnings("ignore:SHA256 checksum of existing", "ignore:Retry downloading")
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_there_stays_where_the_connection_breaks(fault, remote, tmp_path, monkeypatch):
    fetch_pandalm(data_home=tmp_path)
    path = tmp_path / "pandalm" / "testset-v1.json"
    path.write_text("[]")
    monkeypatch.setattr(_download, "TIMEOUT", 0.2)
    remote.fault = fault
    with pytest.raises(OSError, match="Could not get http"):
        fetch_pandalm(data_home=tmp_path, n_retries=0)
    assert path.read_text() == "[]"
    assert files_in(tmp_path) == ["testset-v1.json"]


def test_a_folder_that_cannot_be_written_to_is_named(remote, tmp_path):
    (tmp_path / "pandalm" / "testset-v1.json").mkdir(parents=True)
    with pytest.raises(OSError, match=r"testset-v1\.json"):
        fetch_pandalm(data_home=tmp_path, n_retries=3, delay=10)


def test_tries_again(remote, tmp_path):
    remote.n_failures = 2
    with pytest.warns(UserWarning, match="Retry downloading"):
        assert len(fetch_pandalm(data_home=tmp_path, n_retries=2, delay=0).X) == 2


@pytest.mark.filterwarnings("ignore:Retry downloading")
@pytest.mark.parametrize(
    ("status", "waits"), [(503, [0.5, 1.0, 2.0]), (429, [0.5, 1.0, 2.0]), (403, [])]
)
def test_waits_grow_where_the_host_is_busy(status, waits, remote, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    remote.n_failures, remote.status = 4, status
    with pytest.raises(OSError, match=f"HTTP Error {status}"):
        fetch_pandalm(data_home=tmp_path, delay=0.5)
    assert [wait for wait in waited if wait >= 0.5] == waits
    assert remote.asked["/data/testset-v1.json"] == len(waits) + 1


@pytest.mark.filterwarnings("ignore:Retry downloading")
def test_not_found(remote, tmp_path):
    del remote.files["/data/testset-v1.json"]
    with pytest.raises(OSError, match=r"testset-v1.json: HTTP Error 404: Not Found"):
        fetch_pandalm(data_home=tmp_path, n_retries=1, delay=0)
    assert remote.asked["/data/testset-v1.json"] == 1  # it will not be there a second later
    assert files_in(tmp_path) == []


def test_no_host(tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        monkeypatch.setattr(_fetchers, "HH_RLHF_URL", url)
        with pytest.raises(OSError, match="Could not get http"):
            fetch_hh_rlhf(split="test", data_home=tmp_path, n_retries=0)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    "subset", ["harmless", [], ["helpful-base"] * 2, ["helpful-base", "other"]]
)
def test_unknown_subset(subset, tmp_path):
    with pytest.raises(ValueError, match="helpful-rejection-sampled"):
        fetch_hh_rlhf(subset, data_home=tmp_path)


@pytest.mark.parametrize("split", ["train", "all"])
def test_part_without_checksum_is_not_offered(split, tmp_path):
    with pytest.raises(ValueError, match=r"does not offer the train part of harmless-base"):
        fetch_hh_rlhf("harmless-base", split=split, data_home=tmp_path)


def test_files_are_at_one_commit():
    for url in (_fetchers.HH_RLHF_URL, _fetchers.PANDALM_URL):
        assert len([part for part in url.split("/") if len(part) == 40]) == 1
    checksums = [*_fetchers.HH_RLHF_SHA256.values(), _fetchers.PANDALM_SHA256]
    assert len(set(checksums)) == 8
    assert all(len(checksum) == 64 for checksum in checksums)
