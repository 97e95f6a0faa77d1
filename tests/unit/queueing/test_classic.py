"""Textbook queues against their closed forms, and a chain against a published implementation's figures."""

import math

import numpy as np
import pytest

from poolwright.queueing.classic import Chain, birth_death, mm1, mmc, mmck


@pytest.mark.parametrize("load", [0.05, 0.5, 0.8, 0.95])
def test_one_server_waits_as_the_book_says(load: float) -> None:
    chain = mm1(load * 4.0, 4.0)
    # W = 1 / (mu - lambda); Wq = rho / (mu - lambda).
    assert math.isclose(1.0 / (4.0 - load * 4.0), chain.mean_sojourn_s, rel_tol=1e-9)
    assert math.isclose(load / (4.0 - load * 4.0), chain.mean_wait_s, rel_tol=1e-9)


def erlang_c(offered: float, servers: int) -> float:
    """Return the probability of waiting by Erlang's recursion for the loss formula."""
    blocking = 1.0
    for server in range(1, servers + 1):
        blocking = offered * blocking / (server + offered * blocking)
    return blocking / (1.0 - offered / servers * (1.0 - blocking))


@pytest.mark.parametrize(("servers", "load"), [(1, 0.7), (2, 0.6), (8, 0.9), (64, 0.97)])
def test_many_servers_wait_as_erlang_says(servers: int, load: float) -> None:
    chain = mmc(load * servers * 0.5, 0.5, servers)
    waits = erlang_c(load * servers, servers)
    assert math.isclose(waits, float(chain.probabilities[servers:].sum()), rel_tol=1e-9)
    assert math.isclose(waits / (servers * 0.5 * (1.0 - load)), chain.mean_wait_s, rel_tol=1e-9)


@pytest.mark.parametrize("servers", [1, 3, 40])
def test_without_a_queue_what_is_lost_is_what_erlang_says(servers: int) -> None:
    offered = 0.9 * servers
    blocking = 1.0
    for server in range(1, servers + 1):
        blocking = offered * blocking / (server + offered * blocking)
    assert math.isclose(blocking, mmck(offered, 1.0, servers, servers).loss_probability, rel_tol=1e-9)


def test_a_single_server_is_the_special_case_of_many() -> None:
    assert np.array_equal(mm1(0.6, 1.0).probabilities, mmc(0.6, 1.0, 1).probabilities)


def test_overload_has_no_steady_state_without_a_limit_and_has_one_with() -> None:
    with pytest.raises(ValueError, match=r"the load is 1\.5"):
        mm1(1.5, 1.0)
    # With places for one, half as many come as leave: p1 = 1.5 / 2.5.
    assert math.isclose(0.6, mmck(1.5, 1.0, 1, 1).loss_probability, rel_tol=1e-12)


@pytest.mark.parametrize("arrival", [0.0, -1.0, math.nan])
def test_a_chain_without_arrivals_is_refused(arrival: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        birth_death(arrival, [1.0], 1)


ALPHA_MS, BETA_MS, GAMMA_MS = 12.0, 0.05, 0.0005
INPUT, OUTPUT, BATCH, QUEUE = 128.0, 512.0, 48, 128


def iteration_ms(batch: float) -> float:
    per_request = BETA_MS * (INPUT + OUTPUT) / (OUTPUT + 1.0) + GAMMA_MS * (INPUT + OUTPUT / 2.0)
    return ALPHA_MS + batch * per_request


def prefill_ms(batch: float) -> float:
    return iteration_ms(batch) + (BETA_MS + GAMMA_MS) * INPUT


def decode_ms(batch: float) -> float:
    return iteration_ms(batch) + BETA_MS + GAMMA_MS * (INPUT + OUTPUT / 2.0)


def published_chain() -> Chain:
    """Return the state-dependent chain of llm-d's queue analysis with its published example."""
    batches = np.minimum(np.arange(1, BATCH + QUEUE + 1), BATCH).astype(float)
    service = [batch / (prefill_ms(batch) + OUTPUT * decode_ms(batch)) * 1000.0 for batch in batches]
    return birth_death(3.0, service, BATCH)


def test_a_state_dependent_chain_reproduces_the_published_vector() -> None:
    chain = published_chain()
    assert math.isclose(28.27539, chain.mean_wait_s * 1000.0, rel_tol=1e-5)
    assert math.isclose(31.6205, chain.mean_in_service, rel_tol=1e-5)
    largest = BATCH / (prefill_ms(BATCH) + OUTPUT * decode_ms(BATCH)) * 1000.0
    # That implementation keeps a thousandth below the largest service rate.
    assert math.isclose(3.8208232, 0.999 * largest, rel_tol=1e-5)
    # By Little's law a request is served for 10,540 ms; what the prompt leaves of that is shared by the tokens.
    service_ms = chain.mean_in_service / chain.throughput_per_s * 1000.0
    prompt_ms = prefill_ms(chain.mean_in_service)
    itl_ms = (service_ms - prompt_ms) / OUTPUT
    assert math.isclose(20.534498, itl_ms, rel_tol=1e-5)
    assert math.isclose(75.31746, chain.mean_wait_s * 1000.0 + prompt_ms + itl_ms, rel_tol=1e-5)
