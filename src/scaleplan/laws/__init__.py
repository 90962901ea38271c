"""What loss to expect: published and fitted laws of L(N, D), the budgets they allot, and batch sizes."""
