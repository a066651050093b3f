import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from midi_llm.errors import MissingExtraError  # noqa: E402 - after the check for torch
from midi_llm.train.fused import nats_by_position, summed_nats  # noqa: E402


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(37, 16, generator=generator, requires_grad=True)
    table = torch.randn(500, 16, generator=generator, requires_grad=True)
    return hidden, table, torch.randint(500, (37,), generator=generator)


def gradients(loss, *of):
    return torch.autograd.grad(loss, of)


@pytest.mark.parametrize("chunk", [1, 8, 37, 100])
def test_chunks_give_the_nats_and_gradients_of_the_whole(problem, chunk):
    hidden, table, targets = problem
    whole = torch.nn.functional.cross_entropy(hidden @ table.T, targets, reduction="none")
    ours = nats_by_position(hidden, table, targets, chunk=chunk)
    torch.testing.assert_close(ours, whole)
    weights = torch.arange(37.0)
    for a, b in zip(gradients(ours @ weights, *problem[:2]), gradients(whole @ weights, *problem[:2]), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("chunk", [1, 8, 37, 100])
@pytest.mark.parametrize("rows", [448, 500])
def test_gradients_made_in_the_forward_pass_are_those_of_the_oracle(problem, chunk, rows):
    hidden, table, targets = problem
    table, targets = table[:rows], targets % rows
    oracle = nats_by_position(hidden, table, targets, chunk=chunk).sum()
    ours = summed_nats(hidden, table, targets, kernel="chunked", chunk=chunk)
    torch.testing.assert_close(ours, oracle, atol=0, rtol=1e-5)
    for a, b in zip(gradients(ours / 37, hidden, table), gradients(oracle / 37, hidden, table), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunk", [8, 100])
def test_under_autocast_products_are_in_bfloat16_as_the_oracle_s(problem, dtype, chunk):
    hidden, table, targets = problem
    with torch.autocast("cpu", dtype=torch.bfloat16):
        given = hidden.to(dtype), table.to(dtype), targets
        oracle = nats_by_position(*given, chunk=chunk).sum()
        ours = summed_nats(*given, kernel="chunked", chunk=chunk)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, oracle, atol=0, rtol=1e-3)
    for a, b in zip(gradients(ours, hidden, table), gradients(oracle, hidden, table), strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=0.06, rtol=0.02)


def test_a_frozen_table_gets_no_gradient(problem):
    hidden, table, targets = problem
    ours = summed_nats(hidden, table.detach(), targets, kernel="chunked", chunk=10)
    oracle = nats_by_position(hidden, table.detach(), targets, chunk=10).sum()
    for a, b in zip(gradients(ours, hidden), gradients(oracle, hidden), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(summed_nats(*problem, kernel="chunked", chunk=10), oracle)


def test_torch_s_kernel_agrees_with_ours(problem):
    hidden, table, targets = problem
    ours = summed_nats(hidden, table, targets, kernel="chunked", chunk=10)
    theirs = summed_nats(hidden, table, targets, kernel="torch", chunk=10)
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(gradients(ours / 37, hidden, table), gradients(theirs / 37, hidden, table), strict=True):
        torch.testing.assert_close(a, b)


def test_no_positions_are_no_nats(problem):
    hidden, table, targets = problem
    for kernel in ("chunked", "torch"):
        assert summed_nats(hidden[:0], table, targets[:0], kernel=kernel, chunk=10) == 0


def test_liger_is_asked_for_by_name(problem):
    try:
        import liger_kernel  # noqa: F401 - whether it is there
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"pip install 'midi-llm\[liger\]'"):
            summed_nats(*problem, kernel="liger", chunk=10)
