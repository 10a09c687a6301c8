"""Commands that make something for others: kits, deltas, signatures and receipts."""
