# The compact skeleton model with CORAL (Sun and Saenko 2016): means and covariances of
# the features of domains are drawn together. Of another recipe: --cfg-options
# +model.cls_head.domains.type=CORAL. DomainBed draws as many clips of each domain; that
# is train_dataloader.sampler.type=DomainBalancedSampler.
# Reproduces nothing; the weight is DomainBed's.
# Expected: – (real data not seen). Hardware: as the plain recipe.
_base_ = 'skeletontcn-tiny_mma82_indomain.py'
model = dict(cls_head=dict(domains=dict(type='CORAL', weight=1.0)))
