# The compact skeleton model, each domain with the same share of an epoch: MMA-82 has
# twenty training clips of the laboratory for one of the emotion domain. With one
# domain in training it is the plain recipe. Of another recipe: --cfg-options
# train_dataloader.sampler.type=DomainBalancedSampler.
# Reproduces nothing; the draws are ours (docs/domain_methods.md).
# Expected: – (real data not seen). Hardware: as the plain recipe.
_base_ = 'skeletontcn-tiny_mma82_indomain.py'
train_dataloader = dict(sampler=dict(type='DomainBalancedSampler'))
