"""Results in, figures and tables out; nothing is computed here.

Figures use the theme in `_style`: seaborn draws statistics on axes that are passed in, matplotlib draws images.
"""
