"""Commands about databases: those that kits were made from, or were imported into."""
