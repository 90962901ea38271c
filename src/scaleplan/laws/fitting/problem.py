"""A form on a table of runs: the objective of the fit, its gradient and its curvature, for many laws at once.

    objective = sum over runs of weight * huber(log predicted loss - log observed loss)
    huber(r)  = r^2 / 2 within delta, delta (|r| - delta / 2) beyond

Source: hoffmann2022 section 3.3 (delta = 1e-3). The sum, not the mean: with the mean a gradient tolerance meant for the sum
ends the search early, which is what besiroglu2024 found in the published fit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scaleplan.laws.fitting.shapes import Array, Columns, Shape

DELTA = 1e-3
TINY = 1e-300


class Slopes(NamedTuple):
    """The objective of each law and how it bends.

    objective   (n_laws,)
    gradient    (n_laws, n_parameters)
    curvature   (n_laws, n_parameters, n_parameters): second derivatives of the objective
    metric      likewise: the curvature of the quadratic that lies above the objective and touches it here (positive definite
                wherever the data tell the parameters apart); steps are damped along it
    """

    objective: Array
    gradient: Array
    curvature: Array
    metric: Array

    def at(self, rows: Any) -> Slopes:
        """Those of some laws."""
        return Slopes(*(values[rows] for values in self))

    def update(self, rows: Any, other: Slopes) -> None:
        """Take over the values of some laws."""
        for mine, its in zip(self, other, strict=True):
            mine[rows] = its[rows]


class Problem:
    """A shape with the features of each run worked out."""

    def __init__(self, shape: Shape, columns: Columns, loss: Array, delta: float = DELTA) -> None:
        self.shape = shape
        self.columns = columns
        self.loss = loss
        self.delta = delta
        self.log_loss = np.log(loss)
        self.n_rows = len(loss)
        self.n_parameters = len(shape.parameters)
        self.outer = shape.parameters.index(shape.outer) if shape.outer else None
        logs = {name: np.log(columns[name]) for name in shape.columns}
        self.terms = [
            (
                [shape.parameters.index(name) for name in term.features],
                [collapsed(feature.of(logs, self.n_rows)) for feature in term.features.values()],
                term.offset.of(logs, self.n_rows) if term.offset else np.zeros(1),
            )
            for term in shape.terms
        ]

        self.products = [self._products(indices, features) for indices, features, _ in self.terms]

    def _products(self, indices: list[int], features: list[Array]) -> tuple[list[tuple[int, int]], Array]:
        """Each pair of parameters of a term, and the product of their features in the columns of an array (n_rows, n_pairs)."""
        ranks = [(i, j) for i in range(len(indices)) for j in range(i, len(indices))]
        products = [np.broadcast_to(features[i] * features[j], (self.n_rows,)) for i, j in ranks]
        return [(indices[i], indices[j]) for i, j in ranks], np.stack(products, axis=1)

    def of(self, rows: Any) -> Problem:
        """The same on some of the runs."""
        return Problem(self.shape, {name: self.columns[name][rows] for name in self.shape.columns}, self.loss[rows], self.delta)

    def shares(self, theta: Array) -> tuple[Array, list[Array]]:
        """log predicted - log observed before the outer power, (n_laws, n_rows), and the share of each term in the sum.

        Terms are taken relative to the observed loss. A law so far off that they overflow gets an infinite objective, which no
        search moves to; callers silence the warning.
        """
        target = self.log_loss if self.outer is None else self.log_loss / theta[:, self.outer, None]
        parts = []
        for indices, features, offset in self.terms:
            power = offset - target
            for p, feature in zip(indices, features, strict=True):
                power = power + theta[:, p, None] * feature
            parts.append(np.exp(power))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return np.log(total), [part / total for part in parts]

    def residuals(self, theta: Array) -> Array:
        """log predicted - log observed. theta: (n_laws, n_parameters); result (n_laws, n_rows)."""
        excess, _ = self.shares(theta)
        return self._scaled(theta, excess)

    def _scaled(self, theta: Array, excess: Array) -> Array:
        return excess if self.outer is None else theta[:, self.outer, None] * excess

    def huber(self, residuals: Array, weights: Array) -> Array:
        """The objective of each law. Shape (n_laws,)."""
        size = np.abs(residuals)
        near = np.minimum(size, self.delta)
        objective: Array = (weights * near * (size - near / 2)).sum(axis=1)
        return objective

    def jacobian(self, theta: Array) -> Array:
        """d log L / d theta. Shape (n_laws, n_parameters, n_rows)."""
        return self._jacobian(theta, *self.shares(theta))

    def _jacobian(self, theta: Array, excess: Array, shares: list[Array]) -> Array:
        jacobian = np.empty((len(theta), self.n_parameters, self.n_rows))
        touched = set()
        for (indices, features, _), share in zip(self.terms, shares, strict=True):
            for p, feature in zip(indices, features, strict=True):
                if p in touched:
                    jacobian[:, p] += share * feature
                else:
                    np.multiply(share, feature, out=jacobian[:, p])
                    touched.add(p)
        if self.outer is not None:
            outer = theta[:, self.outer, None]
            jacobian *= outer[:, :, None]
            jacobian[:, self.outer] = excess + self.log_loss / outer
        return jacobian

    def slopes(self, theta: Array, weights: Array) -> Slopes:
        """Objective, gradient and curvature. theta: (n_laws, n_parameters); weights: (n_laws, n_rows) or (1, n_rows)."""
        excess, shares = self.shares(theta)
        residuals = self._scaled(theta, excess)
        size = np.abs(residuals)
        near = np.minimum(size, self.delta)
        weighted = weights * near
        pull = np.copysign(weighted, residuals)
        jacobian = self._jacobian(theta, excess, shares)
        transposed = jacobian.transpose(0, 2, 1)
        scale = 1.0 if self.outer is None else theta[:, self.outer, None]
        curvature = np.matmul(jacobian * (weights * (size <= self.delta) - pull / scale)[:, None, :], transposed)
        self._add_bend(curvature, jacobian, pull * scale, pull / scale, shares)
        return Slopes(
            objective=(weighted * (size - near / 2)).sum(axis=1),
            gradient=np.matmul(jacobian, pull[:, :, None])[:, :, 0],
            curvature=curvature,
            metric=np.matmul(jacobian * (weighted / np.maximum(size, TINY))[:, None, :], transposed),
        )

    def _add_bend(self, curvature: Array, jacobian: Array, pull: Array, pull_of_outer: Array, shares: list[Array]) -> None:
        """Add pull * (second derivatives of log L) to a curvature that lacks them but for the product of the slopes."""
        for (pairs, products), share in zip(self.products, shares, strict=True):
            bends = (pull * share) @ products
            for k, (p, q) in enumerate(pairs):
                curvature[:, p, q] += bends[:, k]
                if p != q:
                    curvature[:, q, p] += bends[:, k]
        if self.outer is not None:
            self._mend_outer(curvature, jacobian, pull_of_outer)

    def _mend_outer(self, curvature: Array, jacobian: Array, pull: Array) -> None:
        """Row and column of the outer parameter: d2 log L = (slope of the sum) for the others, 0 with itself.

        The product of the slopes was taken off there too, where it does not belong: put it back, then add the true term.
        """
        products = np.matmul(jacobian * pull[:, None, :], jacobian[:, self.outer, :, None])[:, :, 0]
        slopes = np.matmul(jacobian, pull[:, :, None])[:, :, 0]
        slopes[:, self.outer] = 0
        curvature[:, self.outer, :] += products + slopes
        curvature[:, :, self.outer] += products + slopes
        curvature[:, self.outer, self.outer] -= products[:, self.outer]


def collapsed(feature: Array) -> Array:
    """A feature that is the same for every run as one number, so that what it multiplies stays small."""
    return feature[:1] if (feature == feature[0]).all() else feature
