# The compact skeleton model with GroupDRO over domains (Sagawa et al., ICLR 2020): a
# domain weighs the more, the worse it is learned. Of another recipe: --cfg-options
# +model.cls_head.domains.type=GroupDRO.
# Reproduces nothing; eta is that of the authors' code and of DomainBed.
# Expected: – (real data not seen). Hardware: as the plain recipe.
_base_ = 'skeletontcn-tiny_mma82_indomain.py'
model = dict(cls_head=dict(domains=dict(type='GroupDRO', eta=0.01)))
