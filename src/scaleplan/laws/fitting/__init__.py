"""Runs -> a law with draws: robust fits of sums of powers, their intervals, and what the data cannot say.

    shapes      which forms can be fitted, as data
    problem     a shape on a table of runs: objective, gradient and curvature for many laws at once
    newton      the minimum, for many starts or many resamples at once
    fit         starts, the best of them, and how well it is determined
    bootstrap   resamples in parts that can be computed anywhere, and the intervals they give
    influence   which rows pull the fit
    isoflop     optima of slices of equal compute, and of the envelope of training curves
    compare     forms ranked by what they say of the largest runs, left out
    design      the runs to add

This room of the house works on numpy arrays throughout; it is imported by `scaleplan fit` only.
"""
