"""What the proxy is compared with: each a process of its own, on one processor."""
