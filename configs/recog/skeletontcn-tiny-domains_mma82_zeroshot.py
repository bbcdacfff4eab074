_base_ = 'skeletontcn-tiny-domains_mma82_indomain.py'
protocol = dict(_delete_=True, name='zeroshot')
