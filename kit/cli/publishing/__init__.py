"""Commands of who hands something to others: new kits, and signatures of finished ones."""
