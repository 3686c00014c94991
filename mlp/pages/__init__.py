"""HTML pages that need nothing but themselves: a template, a style, a table and pictures for all."""
