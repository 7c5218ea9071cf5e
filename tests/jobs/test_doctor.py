"""The doctor: what is missing and how to get it."""

import socket

from curation import stores
from curation.places import place, remote
from jobs import doctor
from jobs.cli import FAILED, main


def test_missing_package_fails_and_names_the_cure(monkeypatch, capsys):
    """A doctor that says `ready` on a machine where the route cannot run."""
    monkeypatch.setattr(doctor, "NEEDED", ("torch", "no-such-package"))
    assert doctor.run([]) == 1
    lines = capsys.readouterr().err.splitlines()
    line = next(line for line in lines if "no-such-package" in line)
    assert "MISSING" in line
    assert "make setup" in line
    assert "no-such-package" in lines[-1]


def test_optional_packages_do_not_fail():
    """A doctor that asks everybody for every extra."""
    finding = doctor.extra("no-such-package", "nothing", "clip")
    assert not finding.fine
    assert not finding.needed
    assert "[clip]" in finding.line()


def test_missing_weights_fail(monkeypatch):
    """A checkout without the embedded autoencoders found out only at the encode pass."""
    monkeypatch.setattr(doctor, "WEIGHTS", doctor.ROOT / "docs")
    (finding,) = doctor.weights()
    assert finding.needed
    assert not finding.fine


def test_cluster_that_does_not_answer_is_named():
    """RAY_ADDRESS left over from yesterday, found out after minutes of waiting."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert not doctor.cluster(address).fine  # bound but not listening: refused
        listener.listen()
        assert doctor.cluster(address).fine
    assert not doctor.cluster("127.0.0.1:99999999").fine
    assert doctor.cluster("").fine


def test_models_that_are_not_here_are_named_and_do_not_fail(monkeypatch, tmp_path):
    """A laptop that goes on a plane without the judges' models, told that all is ready."""
    monkeypatch.setenv("REELMILL_CACHE", str(tmp_path))
    findings = doctor.judges()
    assert {"centerface.onnx", "yamnet.onnx"} <= {finding.what for finding in findings}
    assert all("reelmill judge" in finding.cure and not finding.needed for finding in findings)


def test_a_store_is_tried_and_its_fault_has_a_cure(store, tmp_path, monkeypatch):
    """A wrong address, key or bucket that is found out by a pass, hours later."""
    good = doctor.storage(remote(store.uri("films/some")), ours=True)
    assert good.fine
    assert list(place(store.uri("films/some")).iterdir()) == []
    monkeypatch.setattr(stores, "TRIES", 1)
    for uri, cure in ((store.uri("none/x"), "create the bucket"), (store.uri("films", 1), "http")):
        finding = doctor.storage(remote(uri), ours=True)
        assert cure in finding.cure
        assert finding.needed
        assert not finding.fine
    recipe = tmp_path / "r.yaml"
    films = store.uri("films/in")
    recipe.write_text(f"name: r\nout: {tmp_path}\nstorage: {films}\nscan: {{sources: ['{films}']}}")
    assert [ours for _, ours in doctor.stores_of(str(recipe), {})] == [True, False]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    stores.filesystem.cache_clear()
    try:
        for ours in (True, False):
            assert "AWS_SECRET_ACCESS_KEY" in doctor.storage(remote(films), ours).cure
        assert main(["decide", str(recipe)]) == FAILED
    finally:
        stores.filesystem.cache_clear()
