"""Recursive filters by matrix products: a second of sound in a few calls of BLAS.

Conventions: samples are (C, S) float32; a state is (C, P) float32, one row for each channel. A filter has one input and
several outputs, each after a number of its sections in series.
Rule: a block of B samples X (n, B) and the state before it give the output X T + s O and the state after it
s M + X G, with matrices that follow from the sections. The states of all blocks are computed first: in groups by one
product, then over the groups by doubling. The state has the coordinates in which O has orthonormal rows, so that
single precision is exact to 1e-6 of the output, although the poles lie within 0.003 of the unit circle.
Does not: design filters (`weighting.py`, `bands.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.level.weighting import Sections

BLOCK_SAMPLES: Final = 40  # near the least time, over the rates of sound cards
GROUP_BLOCKS: Final = 15

Matrix = NDArray[np.float64]
Matrix32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BlockFilter:
    """A filter with matrices for blocks of one length.

    Attributes:
        block_samples: B, the samples of a block.
        response: (B + P, K B), from the samples of a block and the state before it to its K outputs.
        inject: (B, P), from the samples of a block to the state after it.
        step: (P, P), from the state before a block to the state after it.
        group: (G P, (G + 1) P), from what a group of G blocks injects to the states before each and after the last.
        powers: (G + 1, P, P), powers of `step`.
        settled: (P,), the state after a constant input of 1.
    """

    block_samples: int
    response: Matrix32
    inject: Matrix32
    step: Matrix32
    group: Matrix32
    powers: Matrix32
    settled: Matrix32

    def filter(self, state: Matrix32, samples: Samples) -> tuple[Matrix32, Matrix32]:
        """Filter whole blocks.

        Args:
            state: (C, P).
            samples: (C, n B).

        Returns:
            The next state (C, P), and the outputs (C, n, K B): for each block, B samples of each output in turn.
        """
        blocks = samples.reshape(samples.shape[0], -1, self.block_samples)  # (C, n, B)
        states = self._states(state, blocks @ self.inject)
        return states[:, -1], np.concatenate([blocks, states[:, :-1]], axis=2) @ self.response

    def _states(self, state: Matrix32, injected: Matrix32) -> Matrix32:
        """Return the states before each block and after the last (C, n + 1, P)."""
        channels, blocks, order = injected.shape
        size = len(self.powers) - 1
        groups = -(-blocks // size)
        padded = np.zeros((channels, groups * size, order), np.float32)
        padded[:, :blocks] = injected
        within = (padded.reshape(channels, groups, size * order) @ self.group).reshape(
            channels, groups, size + 1, order
        )
        starts = np.concatenate([state[:, None], within[:, :, -1]], axis=1)  # (C, groups + 1, P)
        power, distance = self.powers[-1], 1
        while distance <= groups:  # each step doubles the number of groups that a start counts
            starts[:, distance:] += starts[:, :-distance] @ power  # the right side is computed before it is added
            power, distance = power @ power, 2 * distance
        spread = np.tensordot(starts[:, :-1], self.powers[:-1], axes=(2, 1))  # (C, groups, size, P)
        states = (within[:, :, :-1] + spread).reshape(channels, -1, order)
        last = states[:, blocks] if blocks < groups * size else starts[:, -1]
        return np.concatenate([states[:, :blocks], last[:, None]], axis=1)


def block_filter(sections: Sections, taps: Sequence[int], samples: int) -> BlockFilter:
    """Build a filter for runs of samples.

    Args:
        sections: (N, 5), in series.
        taps: For each output, the number of sections before it.
        samples: Length of the runs, of which a block is a divisor.
    """
    block_samples = _near_divisor(samples, BLOCK_SAMPLES)
    group_blocks = min(GROUP_BLOCKS, samples // block_samples)
    order = 2 * len(sections)
    through, after_samples = _simulate(sections, taps, np.zeros((block_samples, order)), np.eye(block_samples))
    observe, after_states = _simulate(sections, taps, np.eye(order), np.zeros((order, block_samples)))
    root = _observability_root(after_states, observe)
    inverse = np.linalg.inv(root)
    step = inverse @ after_states @ root
    powers = np.stack([np.linalg.matrix_power(step, exponent) for exponent in range(group_blocks + 1)])
    settled = np.linalg.solve((np.eye(order) - step).T, (np.ones(block_samples) @ after_samples @ root))
    return BlockFilter(
        block_samples,
        *(
            np.ascontiguousarray(matrix, np.float32)
            for matrix in (
                np.concatenate([through, inverse @ observe]),
                after_samples @ root,
                step,
                _group_matrix(powers),
                powers,
                settled,
            )
        ),
    )


def _simulate(sections: Sections, taps: Sequence[int], states: Matrix, samples: Matrix) -> tuple[Matrix, Matrix]:
    """Run the sections sample by sample, in the transposed direct form II.

    Args:
        sections: (N, 5).
        taps: For each of K outputs, the number of sections before it.
        states: (R, 2 N), the state of each run.
        samples: (R, B), the input of each run.

    Returns:
        Outputs (R, K B), and the states after them (R, 2 N).
    """
    states = states.copy()
    outputs = np.empty((len(samples), len(taps), samples.shape[1]))
    for place in range(samples.shape[1]):
        signals = [samples[:, place]]
        for number, (b0, b1, b2, a1, a2) in enumerate(sections):
            first, second = states[:, 2 * number], states[:, 2 * number + 1]
            signal = signals[-1]
            output = b0 * signal + first
            states[:, 2 * number], states[:, 2 * number + 1] = (
                b1 * signal - a1 * output + second,
                b2 * signal - a2 * output,
            )
            signals.append(output)
        outputs[:, :, place] = np.stack([signals[tap] for tap in taps], axis=1)
    return outputs.reshape(len(samples), -1), states


def _observability_root(step: Matrix, observe: Matrix) -> Matrix:
    """Return R with R R^T the sum of the energies that states cause in all later outputs."""
    energy, power = observe @ observe.T, step
    for _ in range(40):  # doubles the number of blocks each time
        energy = energy + power @ energy @ power.T
        power = power @ power
    root: Matrix = np.asarray(np.linalg.cholesky(energy), np.float64)
    return root


def _group_matrix(powers: Matrix) -> Matrix:
    """Return the matrix from what each block of a group injects to the states before each block and after the last."""
    size, order = len(powers) - 1, powers.shape[1]
    matrix = np.zeros((size, order, size + 1, order))
    for source in range(size):
        for target in range(source + 1, size + 1):
            matrix[source, :, target] = powers[target - source - 1]
    return matrix.reshape(size * order, (size + 1) * order)


def _near_divisor(number: int, wanted: int) -> int:
    """Return the divisor that is nearest to a wanted value, by ratio."""
    divisors = (divisor for divisor in range(1, min(number, 10 * wanted) + 1) if number % divisor == 0)
    return min(divisors, key=lambda divisor: abs(math.log(divisor / wanted)))
