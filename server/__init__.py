"""The central server: accepts journals, holds the truth, issues programmes, codes and allowances."""
