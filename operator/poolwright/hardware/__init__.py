"""Accelerators and model architectures: shapes, catalogues, and the parser of Hugging Face configurations."""
