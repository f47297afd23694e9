"""Figures, tables and the report page, drawn from declarations and CSV files alone."""
