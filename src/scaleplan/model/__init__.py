"""What is trained: an architecture, the bill of its weights and work, and the counts that are sums over the bill."""
